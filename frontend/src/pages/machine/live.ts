/** The machine, its GPUs, what runs and what waits: asked for together, so that they fit together. */

import { computed, shallowRef, watch, type Ref } from 'vue'
import { get } from '@/api/client'
import type { Device, Machine, Task } from '@/api/types'
import { language } from '@/i18n'
import { useRefresh, type Refresh } from '@/parts/refresh'

const EVERY = 3000 // milliseconds
const RUNNING_AT_MOST = 100
export const WAITING_AT_MOST = 50

export interface MachineState {
  machine: Machine
  devices: Device[]
  running: Task[]
  waiting: Task[]
  /** `waiting` holds the first of so many. */
  waitingTotal: number
}

export interface LiveMachine extends Pick<Refresh, 'now' | 'error'> {
  /** Null until the first answer. */
  state: Readonly<Ref<MachineState | null>>
  /** Running tasks by id. */
  tasks: Readonly<Ref<ReadonlyMap<number, Task>>>
}

export function useMachine(): LiveMachine {
  const state = shallowRef<MachineState | null>(null)
  const { now, error } = useRefresh(
    async (signal) => {
      const [machine, devices, running, waiting] = await Promise.all([
        get('getMachine', undefined, signal),
        get('getDeviceList', undefined, signal),
        get('getTaskList', { status: 'running', pageSize: RUNNING_AT_MOST, orderKey: 'ID', desc: false }, signal),
        // The first to come is the first to start.
        get('getTaskList', { status: 'pending', pageSize: WAITING_AT_MOST, orderKey: 'ID', desc: false }, signal),
      ])
      state.value = { machine, devices, running: running.list, waiting: waiting.list, waitingTotal: waiting.total }
    },
    () => EVERY,
  )
  watch(language, () => void now())
  const tasks = computed(() => new Map(state.value?.running.map((task) => [task.ID, task])))
  return { state, tasks, now, error }
}
