/**
 * The points of a task's curves: an overview that the server has thinned, a finer part where the
 * reader looks closer, and what the stream has told since. However long a run is, a browser holds a
 * few thousand points of it.
 */

import { computed, onScopeDispose, ref, shallowRef, watch } from 'vue'
import { get } from '@/api/client'
import { connectionLost } from '@/api/connection'
import type { MetricPoint, Metrics } from '@/api/types'
import { attemptsOf, joined, type Detail, type Steps, type Told } from './points'

const MAX_POINTS = 1500 // more than a chart has pixels for
const DETAIL_AT_MOST = 20_000 // points asked for to look closely
const SHOW_EVERY = [1000, 5000] as const // milliseconds, of a short run and of a long one, where a step is not seen
const ASK_EVERY = 30_000 // milliseconds; the server's sentence on the curves goes on with them
const ASK_WAIT = 300 // milliseconds after the reader has moved

interface Kind<Content> {
  training: Content
  evaluation: Content
}

export type Curves = ReturnType<typeof useCurves>

export function useCurves(id: number) {
  const overview = shallowRef<Metrics | null>(null)
  const told = shallowRef<Kind<readonly Told[]>>({ training: [], evaluation: [] })
  const detail = shallowRef<Kind<Detail> | null>(null)
  const error = shallowRef<unknown>(null)
  /** The attempt that the reader has chosen; null: the latest. */
  const chosen = ref<number | null>(null)

  let waiting: Kind<Told[]> = { training: [], evaluation: [] }
  let lastId = 0
  let showTimer: number | undefined
  let zoomTimer: number | undefined
  let asking: AbortController | null = null
  let looking: AbortController | null = null
  let askedAt = 0

  /** The server has answered. */
  const known = computed(() => overview.value !== null)
  const latest = computed(() => attempts.value.at(-1) ?? 0)
  const attempts = computed(() =>
    attemptsOf(overview.value?.training ?? [], points(told.value.training), overview.value?.evaluation ?? []),
  )
  const attempt = computed(() => chosen.value ?? latest.value)
  const shown = computed<Kind<MetricPoint[]>>(() => ({
    training: joined(overview.value?.training ?? [], detail.value?.training ?? null, told.value.training, attempt.value),
    evaluation: joined(overview.value?.evaluation ?? [], detail.value?.evaluation ?? null, told.value.evaluation, attempt.value),
  }))
  /** Training points there are, of which `shown` holds some. */
  const total = computed(() => (overview.value?.total ?? 0) + told.value.training.length)

  /** Ask the server anew; what the stream told meanwhile stays. */
  async function refresh(): Promise<void> {
    asking?.abort()
    const mine = (asking = new AbortController())
    askedAt = Date.now()
    try {
      const answer = await get('getTaskMetrics', { id, maxPoints: MAX_POINTS }, mine.signal)
      const after = ({ id: eventId }: Told) => eventId > answer.lastEventId
      overview.value = answer
      told.value = { training: told.value.training.filter(after), evaluation: told.value.evaluation.filter(after) }
      waiting = { training: waiting.training.filter(after), evaluation: waiting.evaluation.filter(after) }
      lastId = Math.max(lastId, answer.lastEventId)
      error.value = null
    } catch (thrown) {
      if (!mine.signal.aborted) error.value = thrown
    } finally {
      if (asking === mine) asking = null
    }
  }

  /** Take in what the stream tells. Told twice is taken once. */
  function tell(kind: keyof Kind<unknown>, point: MetricPoint, eventId: number): void {
    if (eventId <= lastId) return
    lastId = eventId
    waiting[kind].push({ id: eventId, point })
    const [least, most] = SHOW_EVERY
    showTimer ??= window.setTimeout(show, Math.min(most, Math.max(least, total.value / 4)))
  }

  function show(): void {
    showTimer = undefined
    const { training, evaluation } = waiting
    waiting = { training: [], evaluation: [] }
    told.value = {
      training: [...told.value.training, ...training],
      evaluation: [...told.value.evaluation, ...evaluation],
    }
    // Reading a long run costs the server more than a short one.
    const every = Math.max(ASK_EVERY, total.value * 10)
    if (!asking && (told.value.training.length >= MAX_POINTS || Date.now() - askedAt > every)) void refresh()
  }

  /** The reader looks at these steps; null: at all. */
  function look(steps: Steps | null): void {
    window.clearTimeout(zoomTimer)
    looking?.abort()
    const all = shown.value.training
    const whole = all.length > 1 ? all.at(-1)!.step - all[0]!.step : 0
    const exact = overview.value === null || overview.value.training.length >= overview.value.total
    if (!steps || !whole || exact) {
      detail.value = null
      return
    }
    const part = Math.max((steps[1] - steps[0]) / whole, 1e-6)
    const maxPoints = Math.min(DETAIL_AT_MOST, Math.ceil(MAX_POINTS / part))
    zoomTimer = window.setTimeout(() => void lookCloser(steps, maxPoints), ASK_WAIT)
  }

  async function lookCloser(steps: Steps, maxPoints: number): Promise<void> {
    const mine = (looking = new AbortController())
    try {
      const answer = await get('getTaskMetrics', { id, maxPoints }, mine.signal)
      const part = (all: MetricPoint[]): Detail => ({
        steps,
        points: all.filter(({ step }) => step >= steps[0] && step <= steps[1]),
        until: answer.lastEventId,
      })
      if (!mine.signal.aborted) detail.value = { training: part(answer.training), evaluation: part(answer.evaluation) }
    } catch {
      // The overview stays.
    }
  }

  watch(connectionLost, (lost) => !lost && error.value && void refresh(), { flush: 'sync' })
  onScopeDispose(() => {
    window.clearTimeout(showTimer)
    window.clearTimeout(zoomTimer)
    asking?.abort()
    looking?.abort()
  })

  const convergence = computed(() => overview.value?.convergence ?? null)
  return { known, shown, total, attempts, attempt, chosen, convergence, error, refresh, tell, look }
}

function points(told: readonly Told[]): MetricPoint[] {
  return told.map(({ point }) => point)
}
