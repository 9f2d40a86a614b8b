/**
 * A task as it goes: what the server knows now, then every event after that, without gap or repeat
 * and across restarts of either side.
 */

import { computed, nextTick, onScopeDispose, ref, shallowRef, watch } from 'vue'
import { aborted, addressOf, ApiError, get } from '@/api/client'
import { connectionLost } from '@/api/connection'
import { useStream } from '@/api/live'
import type { MetricPoint, Status, Task, TaskEvent } from '@/api/types'
import { language } from '@/i18n'
import { ended } from '@/parts/ended'
import { useCurves } from './curves'

/** How a task stands, told about once a second while it runs. */
type Progress = Pick<
  Task,
  | 'attempt' | 'status' | 'phase' | 'progress' | 'step' | 'totalSteps' | 'epoch'
  | 'elapsedSeconds' | 'etaSeconds' | 'tokensPerSecond' | 'download' | 'queueReason'
>

/** What every event of the timeline holds. */
type Told = { attempt: number; at: number; message: string } & Record<string, unknown>

const TIMELINE = ['status', 'started', 'phase', 'plan', 'memory_plan', 'checkpoint', 'warning', 'error', 'finished', 'exited'] as const
// After these the task has more to say than progress does.
const ASK_AFTER = new Set<string>(['status', 'started', 'finished'])

export function useFollowed(id: number) {
  const task = shallowRef<Task | null>(null)
  const events = shallowRef<TaskEvent[]>([])
  /** What happened so far is known. */
  const ready = ref(false)
  const error = shallowRef<unknown>(null)
  /** There is no such task: never was, or it was deleted while we looked. */
  const missing = ref<'unknown' | 'deleted' | null>(null)
  const curves = useCurves(id)
  /** Where the stream begins; null until that is known. */
  const from = ref<number | null>(null)
  let asking: AbortController | null = null
  let again: number | undefined
  let gone = false

  async function load(): Promise<void> {
    asking?.abort()
    const mine = (asking = new AbortController())
    try {
      const found = await get('getTask', { id }, mine.signal)
      if (mine.signal.aborted) return
      task.value = found
      error.value = null
      // The stream tells what comes after this; both of these know at least as much.
      const [all] = await Promise.all([allEvents(mine.signal), curves.refresh()])
      if (mine.signal.aborted) return
      events.value = all
      ready.value = true
      from.value = found.lastEventId
    } catch (thrown) {
      if (!mine.signal.aborted) failed(thrown)
    }
  }

  async function allEvents(signal: AbortSignal): Promise<TaskEvent[]> {
    const all: TaskEvent[] = []
    for (;;) {
      const page = await get('getTaskEvents', { id, after: all.at(-1)?.id }, signal)
      all.push(...page.events)
      if (!page.truncated) return all
    }
  }

  /** The task itself once more: what only it says (error, devices, times). */
  function askAgain(): void {
    again ??= window.setTimeout(async () => {
      again = undefined
      try {
        const found = await get('getTask', { id })
        if (!gone) task.value = found
      } catch (thrown) {
        if (!gone) failed(thrown)
      }
    }, 100)
  }

  function failed(thrown: unknown): void {
    if (aborted(thrown)) return
    if (thrown instanceof ApiError && thrown.status === 404) {
      missing.value = task.value ? 'deleted' : 'unknown'
      from.value = null
    } else {
      error.value = thrown
    }
  }

  function tell(type: string, data: Told, eventId: string): void {
    const number = Number(eventId)
    if (number <= (events.value.at(-1)?.id ?? 0)) return
    const { attempt, at, message } = data
    events.value = [...events.value, { id: number, attempt, at, type, message, data }]
    if (type === 'status' && task.value) {
      task.value = { ...task.value, status: data.status as Status, error: (data.error as Task['error']) ?? task.value.error }
      // The last points, and what they say.
      if (ended(task.value.status)) void curves.refresh()
    }
    if (ASK_AFTER.has(type)) askAgain()
  }

  const { state } = useStream(
    () => (from.value === null ? null : addressOf('streamTask', { id, lastEventId: from.value })),
    {
      progress: (now: Progress) => {
        if (!task.value) return
        const other = now.attempt !== task.value.attempt
        task.value = { ...task.value, ...now }
        if (other) askAgain()
      },
      metrics: (point: MetricPoint, eventId: string) => curves.tell('training', point, Number(eventId)),
      evaluation: (point: MetricPoint, eventId: string) => curves.tell('evaluation', point, Number(eventId)),
      ...Object.fromEntries(TIMELINE.map((type) => [type, (data: Told, eventId: string) => tell(type, data, eventId)])),
    },
  )

  async function loadAgain(): Promise<void> {
    await load()
    if (gone || state.value !== 'ended' || error.value || missing.value || !task.value || ended(task.value.status)) return
    // It was taken for ended while the server came up: once more.
    const begin = from.value
    from.value = null
    await nextTick()
    from.value = begin
  }

  // The server has told all there is, or the task is gone.
  watch(state, (now) => now === 'ended' && !gone && void loadAgain())
  // What the server was asked for when it went away is still not here. In sync: another call may
  // have reached the server in the same moment.
  watch(connectionLost, (lost) => !lost && error.value && void loadAgain(), { flush: 'sync' })
  watch(language, load)
  void load()
  onScopeDispose(() => {
    gone = true
    asking?.abort()
    window.clearTimeout(again)
  })

  /** The latest values, the stream's before the task's own. */
  const latest = computed<Record<string, number | null | undefined>>(() => {
    const known = task.value
    if (!known || curves.attempt.value !== known.attempt) return known?.metrics ?? {}
    const training = curves.shown.value.training.at(-1)
    const evaluation = curves.shown.value.evaluation.at(-1)
    return {
      ...known.metrics,
      ...(training && { loss: training.loss, learning_rate: training.learning_rate, grad_norm: training.grad_norm }),
      ...(evaluation && { eval_loss: evaluation.eval_loss, token_accuracy: evaluation.token_accuracy }),
    }
  })

  return { task, events, ready, error, missing, curves, latest, load }
}
