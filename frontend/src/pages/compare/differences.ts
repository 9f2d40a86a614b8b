/** Parameters side by side, and which differ. Pure. */

import type { Argument, Task } from '@/api/types'

export interface Difference {
  name: string
  /** In the order of the tasks. */
  values: unknown[]
  differs: boolean
}

const GPU = ['cuda_visible_devices', 'memory_optimization', 'max_memory_gib']

/** What the tasks were made from, then training arguments in the schema's order, then GPUs. */
export function differences(tasks: readonly Task[], schema: readonly Argument[]): Difference[] {
  const given = new Set(tasks.flatMap((task) => Object.keys(task.trainingArgs)))
  const known = schema.map(({ name }) => name).filter((name) => given.has(name))
  // Tasks of an older server may have an argument that the schema no longer knows.
  const names = [...known, ...[...given].filter((name) => !known.includes(name))]
  return [
    row('baseModel', tasks.map((task) => task.baseModel)),
    row('datasetPath', tasks.map((task) => task.datasetPath)),
    ...names.map((name) => row(name, tasks.map((task) => task.trainingArgs[name]))),
    ...GPU.map((name) => row(name, tasks.map((task) => task.gpuConfig[name]))),
  ]
}

function row(name: string, values: unknown[]): Difference {
  return { name, values, differs: new Set(values.map((value) => JSON.stringify(value ?? null))).size > 1 }
}
