/** The small loss curves of the tasks on a page: asked for only where they can have changed. */

import { shallowRef, type Ref } from 'vue'
import { get } from '@/api/client'
import type { SparklineData, Task } from '@/api/types'

const RUNNING_EVERY = 4000 // milliseconds
const POINTS = 30

interface Known {
  line: SparklineData
  /** What the task looked like then. */
  of: string
  at: number
}

export interface Sparklines {
  lines: Readonly<Ref<ReadonlyMap<number, SparklineData>>>
  load: (tasks: Task[], signal: AbortSignal) => Promise<void>
}

const stateOf = (task: Task) => `${task.status} ${task.attempt}`

export function useSparklines(): Sparklines {
  let known = new Map<number, Known>()
  const lines = shallowRef(new Map<number, SparklineData>())

  async function load(tasks: Task[], signal: AbortSignal): Promise<void> {
    const now = Date.now()
    const wanted = tasks.filter((task) => {
      if (task.attempt === 0) return false // has not begun: no curve
      const before = known.get(task.ID)
      if (!before || before.of !== stateOf(task)) return true
      return task.status === 'running' && now - before.at > RUNNING_EVERY
    })
    const found = new Map<number, SparklineData>()
    // The API takes no more than a hundred, which is a page at its largest.
    if (wanted.length) {
      const ids = wanted.map((task) => task.ID).join(',')
      for (const line of await get('getTaskSparklines', { ids, points: POINTS }, signal)) found.set(line.id, line)
    }
    const next = new Map<number, Known>()
    for (const task of tasks) {
      const line = found.get(task.ID)
      const before = known.get(task.ID)
      if (line) next.set(task.ID, { line, of: stateOf(task), at: now })
      else if (before) next.set(task.ID, before)
    }
    known = next
    lines.value = new Map([...next].map(([id, { line }]) => [id, line]))
  }

  return { lines, load }
}
