/** The tasks of a page of the list, kept as they are on the server while the page is open. */

import { computed, shallowRef, watch, type Ref } from 'vue'
import { addressOf, get } from '@/api/client'
import { useStream } from '@/api/live'
import type { SparklineData, Statistics, Task, TaskPage } from '@/api/types'
import { language } from '@/i18n'
import { useRefresh, type Refresh } from '@/parts/refresh'
import { toCall, type ListQuery } from './query'
import { useSparklines } from './sparklines'

// Events tell of what changes; these are for what moves on without one.
const WHILE_RUNNING = 5000 // milliseconds: step, remaining time
const WHILE_WAITING = 15_000
const POLL = 60_000
// Counting is the dearest question to a store of a hundred thousand tasks.
const COUNT_EVERY = 5000

/** What was seen last, so that coming back from a task shows the list, and its place, at once. */
let last: { of: string; page: TaskPage; statistics: Statistics } | null = null

export interface TaskList extends Pick<Refresh, 'now' | 'soon' | 'error' | 'loading'> {
  /** Null until the first answer. */
  page: Readonly<Ref<TaskPage | null>>
  tasks: Readonly<Ref<Task[]>>
  statistics: Readonly<Ref<Statistics | null>>
  lines: Readonly<Ref<ReadonlyMap<number, SparklineData>>>
}

export function useTaskList(query: Readonly<Ref<ListQuery>>): TaskList {
  const question = computed(() => JSON.stringify([toCall(query.value), language.value]))
  const kept = last?.of === question.value ? last : null
  const page = shallowRef<TaskPage | null>(kept?.page ?? null)
  const statistics = shallowRef<Statistics | null>(kept?.statistics ?? null)
  const tasks = computed(() => page.value?.list ?? [])
  const { lines, load } = useSparklines()

  let countedAt = 0

  const count = async (signal: AbortSignal) => {
    statistics.value = await get('getTaskStatistics', undefined, signal)
    countedAt = Date.now()
  }

  const refresh = useRefresh(async (signal) => {
    const of = question.value
    const counted = Date.now() - countedAt > COUNT_EVERY
    const [found] = await Promise.all([get('getTaskList', toCall(query.value), signal), counted && count(signal)])
    const moved = statusesOf(found) !== statusesOf(page.value)
    page.value = { ...found, list: unchanged(found.list, tasks.value) }
    if (moved && !counted) await count(signal)
    if (statistics.value) last = { of, page: page.value, statistics: statistics.value }
    await load(found.list, signal)
  }, every)

  function every(): number {
    if (tasks.value.some((task) => task.status === 'running')) return WHILE_RUNNING
    if (tasks.value.some((task) => task.status === 'pending')) return WHILE_WAITING
    return POLL
  }

  watch(question, () => void refresh.now())
  useStream(() => addressOf('streamTaskList'), { changed: refresh.soon }, { endless: true })

  return { ...refresh, page, tasks, statistics, lines }
}

/** Tasks that are as they were stay the same objects, so that their rows are not drawn again. */
function unchanged(found: Task[], before: readonly Task[]): Task[] {
  const known = new Map(before.map((task) => [task.ID, task]))
  return found.map((task) => {
    const same = known.get(task.ID)
    return same && JSON.stringify(same) === JSON.stringify(task) ? same : task
  })
}

/** Another text: tasks came, went or changed their status, and so did the counts. */
function statusesOf(page: TaskPage | null): string {
  return page ? [page.total, ...page.list.map((task) => `${task.ID} ${task.status}`)].join() : ''
}
