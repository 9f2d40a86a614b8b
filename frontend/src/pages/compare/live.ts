/** The tasks that are compared, with their curves; those that have not ended are asked for again. */

import { computed, shallowRef, watch, type Ref } from 'vue'
import { ApiError, get } from '@/api/client'
import type { MetricPoint, Task } from '@/api/types'
import { language } from '@/i18n'
import { ended } from '@/parts/ended'
import { useRefresh, type Refresh } from '@/parts/refresh'

const EVERY = 5000 // milliseconds
const MAX_POINTS = 1500 // more than a chart has pixels for

export interface Compared {
  task: Task
  /** Of the latest attempt that has any. */
  training: MetricPoint[]
  evaluation: MetricPoint[]
  /** 1-8, the theme's. */
  colour: number
}

interface Known extends Omit<Compared, 'colour'> {
  ended: boolean
}

export interface LiveComparison extends Pick<Refresh, 'now' | 'error' | 'loading'> {
  /** In the order of the ids; those that are not there are left out. */
  compared: Readonly<Ref<Compared[]>>
  /** Why some are left out. */
  missing: Readonly<Ref<{ id: number; message: string }[]>>
}

export function useComparison(ids: Readonly<Ref<number[]>>): LiveComparison {
  const known = shallowRef<ReadonlyMap<number, Known | ApiError>>(new Map())

  const { now, error, loading } = useRefresh(async (signal) => {
    const before = known.value
    const found = await Promise.all(
      ids.value.map(async (id): Promise<[number, Known | ApiError]> => {
        const last = before.get(id)
        if (last && 'ended' in last && last.ended) return [id, last]
        try {
          return [id, await look(id, signal)]
        } catch (thrown) {
          // A task that is not there does not keep the others from being shown.
          if (thrown instanceof ApiError && thrown.status >= 400 && thrown.status < 500) return [id, thrown]
          throw thrown
        }
      }),
    )
    known.value = new Map(found)
  }, every)

  function every(): number | null {
    return [...known.value.values()].every((each) => !('ended' in each) || each.ended) ? null : EVERY
  }

  watch([() => ids.value.join(), language], () => void now())

  const compared = computed(() =>
    ids.value.flatMap((id, place) => {
      const found = known.value.get(id)
      return found && 'ended' in found ? [{ ...found, colour: place + 1 }] : []
    }),
  )
  const missing = computed(() =>
    ids.value.flatMap((id) => {
      const found = known.value.get(id)
      return found instanceof ApiError ? [{ id, message: found.message }] : []
    }),
  )
  return { compared, missing, now, error, loading }
}

/** The task first: when it has ended, the curves that are asked for then are whole. */
async function look(id: number, signal: AbortSignal): Promise<Known> {
  const task = await get('getTask', { id }, signal)
  const { training, evaluation } = await get('getTaskMetrics', { id, maxPoints: MAX_POINTS }, signal)
  const attempt = Math.max(...[...training, ...evaluation].map((point) => point.attempt), 0)
  const latest = (point: MetricPoint) => point.attempt === attempt
  return { task, training: training.filter(latest), evaluation: evaluation.filter(latest), ended: ended(task.status) }
}
