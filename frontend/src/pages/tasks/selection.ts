/** Which tasks are ticked. They stay so on other pages of the list, and when the list moves. */

import { computed, shallowReactive, watch, type ComputedRef, type Ref } from 'vue'
import type { Task } from '@/api/types'

export interface Selection {
  has: (id: number) => boolean
  toggle: (task: Task, on: boolean) => void
  /** Tick or untick all tasks of this page. */
  togglePage: (on: boolean) => void
  drop: (ids: Iterable<number>) => void
  clear: () => void
  tasks: ComputedRef<Task[]>
  /** Of this page. */
  state: ComputedRef<'none' | 'some' | 'all'>
}

export function useSelection(page: Readonly<Ref<Task[]>>): Selection {
  const chosen = shallowReactive(new Map<number, Task>())

  // What may be done to a task depends on how it is now.
  watch(page, (tasks) => {
    for (const task of tasks) if (chosen.has(task.ID)) chosen.set(task.ID, task)
  })

  function toggle(task: Task, on: boolean): void {
    if (on) chosen.set(task.ID, task)
    else chosen.delete(task.ID)
  }

  const state = computed(() => {
    const count = page.value.filter((task) => chosen.has(task.ID)).length
    return count === 0 ? 'none' : count === page.value.length ? 'all' : 'some'
  })

  return {
    has: (id) => chosen.has(id),
    toggle,
    togglePage: (on) => page.value.forEach((task) => toggle(task, on)),
    drop: (ids) => {
      for (const id of ids) chosen.delete(id)
    },
    clear: () => chosen.clear(),
    tasks: computed(() => [...chosen.values()]),
    state,
  }
}
