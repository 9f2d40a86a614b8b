/** Stop and delete, one task or many: asks first, and keeps account of what did not work. */

import { ref, shallowReactive, type Ref } from 'vue'
import { ApiError, del, post } from '@/api/client'
import type { Task } from '@/api/types'
import { i18n } from '@/i18n'
import { confirmDelete, confirmStop } from '@/parts/confirm'
import { tell, tellError } from '@/parts/notice'
import { canStop } from './words'

// Deleting a running task waits for its end, and browsers allow six connections a host.
const AT_ONCE = 3

export type Action = 'stop' | 'delete'

export interface Failure {
  task: Task
  error: unknown
}

export interface Outcome {
  action: Action
  done: number
  failures: Failure[]
}

export interface Actions {
  stop: (tasks: Task[]) => Promise<void>
  remove: (tasks: Task[]) => Promise<void>
  /** Tasks that something is being done to. */
  busy: ReadonlySet<number>
  /** How far several tasks are; null when nothing is under way. */
  progress: Readonly<Ref<{ action: Action; done: number; total: number } | null>>
  /** Of several tasks, when some were not done. */
  outcome: Ref<Outcome | null>
}

/** `changed`: which tasks are gone, or no longer as they were. */
export function useActions(changed: (done: number[], gone: number[]) => void): Actions {
  const busy = shallowReactive(new Set<number>())
  const progress = ref<{ action: Action; done: number; total: number } | null>(null)
  const outcome = ref<Outcome | null>(null)
  const acts: Record<Action, (task: Task) => Promise<unknown>> = {
    stop: (task) => post('stopTask', { query: { id: task.ID } }),
    delete: (task) => del('deleteTask', { id: task.ID }),
  }

  async function run(action: Action, tasks: Task[]): Promise<void> {
    const { t } = i18n.global
    const failures: Failure[] = []
    const done: number[] = []
    const gone: number[] = []
    const waiting = [...tasks]
    const several = tasks.length > 1
    if (several) progress.value = { action, done: 0, total: tasks.length }
    for (const task of tasks) busy.add(task.ID)

    async function work(): Promise<void> {
      for (let task = waiting.shift(); task; task = waiting.shift()) {
        try {
          await acts[action](task)
          done.push(task.ID)
          if (action === 'delete') gone.push(task.ID)
        } catch (error) {
          failures.push({ task, error })
          if (error instanceof ApiError && error.status === 404) gone.push(task.ID)
        }
        busy.delete(task.ID)
        if (several && progress.value) progress.value.done += 1
      }
    }

    await Promise.all(Array.from({ length: AT_ONCE }, work))
    if (several) progress.value = null
    changed(done, gone)
    if (failures.length === 0) tell(t(`list.done.${action}`, { count: done.length }, done.length))
    else if (!several) tellError(failures[0]!.error)
    else outcome.value = { action, done: done.length, failures }
  }

  return {
    async stop(tasks) {
      const active = tasks.filter(canStop)
      if (active.length && (await confirmStop(active))) await run('stop', active)
    },
    async remove(tasks) {
      if (tasks.length && (await confirmDelete(tasks))) await run('delete', tasks)
    },
    busy,
    progress,
    outcome,
  }
}
