/** What the form holds, and what becomes of it: a request, or the other way round from a task. Pure. */

import type { Argument, Body, Task } from '@/api/types'

/** Training arguments that were given; the others are left to their defaults. */
export type Given = Record<string, unknown>

export interface TaskForm {
  name: string
  description: string
  baseModel: string
  datasetPath: string
  outputPath: string
  trainingArgs: Given
  /** As in `gpuConfig`; "" leaves the choice to the scheduler. */
  cudaVisibleDevices: string
  memoryOptimization: boolean
  /** A number, or what was typed in place of one. */
  maxMemoryGib: unknown
}

export type TaskBody = Body<'createTask'>

export function emptyForm(): TaskForm {
  return {
    name: '',
    description: '',
    baseModel: '',
    datasetPath: '',
    outputPath: '',
    trainingArgs: {},
    cudaVisibleDevices: '',
    memoryOptimization: false,
    maxMemoryGib: undefined,
  }
}

/** "", null and undefined are what the API takes for "not given". */
export const isGiven = (value: unknown): boolean => value !== undefined && value !== null && value !== ''

/** The request that the form stands for; what is not given is left out. */
export function bodyOf(form: TaskForm): TaskBody {
  const gpu: Record<string, unknown> = {}
  if (form.cudaVisibleDevices.trim()) gpu.cuda_visible_devices = form.cudaVisibleDevices.trim()
  if (form.memoryOptimization) gpu.memory_optimization = true
  if (isGiven(form.maxMemoryGib)) gpu.max_memory_gib = form.maxMemoryGib
  const given = givenOnly(form.trainingArgs)
  const body: Record<string, unknown> = {}
  for (const name of ['name', 'description', 'baseModel', 'datasetPath', 'outputPath'] as const) {
    if (form[name].trim()) body[name] = form[name].trim()
  }
  if (Object.keys(given).length) body.trainingArgs = given
  if (Object.keys(gpu).length) body.gpuConfig = gpu
  return body as unknown as TaskBody
}

export function givenOnly(values: Given): Given {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => isGiven(value)))
}

/** What of a task a form can hold again. */
export type OldTask = Pick<
  Task,
  'name' | 'description' | 'baseModel' | 'datasetPath' | 'trainingArgs' | 'givenArgs' | 'gpuConfig'
>

/**
 * The form that would create `task` again. The output path stays empty: each task writes to a directory
 * of its own.
 */
export function formOf(task: OldTask, schema: readonly Argument[]): TaskForm {
  const gpu = task.gpuConfig
  return {
    ...emptyForm(),
    name: nextName(task.name),
    description: task.description ?? '',
    baseModel: task.baseModel,
    datasetPath: task.datasetPath,
    trainingArgs: argumentsOf(task, schema),
    cudaVisibleDevices: String(gpu.cuda_visible_devices ?? ''),
    memoryOptimization: gpu.memory_optimization === true,
    maxMemoryGib: gpu.max_memory_gib ?? undefined,
  }
}

function argumentsOf(task: OldTask, schema: readonly Argument[]): Given {
  const given = new Set(task.givenArgs)
  const found: Given = {}
  for (const { name } of schema) {
    if (given.has(name) && isGiven(task.trainingArgs[name])) found[name] = task.trainingArgs[name]
  }
  return found
}

/** "qa" -> "qa-2", "qa-2" -> "qa-3". */
export function nextName(name: string): string {
  const numbered = /^(.*)-(\d{1,4})$/.exec(name)
  return numbered ? `${numbered[1]}-${Number(numbered[2]) + 1}` : `${name}-2`
}

/** Equal as JSON; key order aside. */
export function same(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) {
    return !isGiven(one) && !isGiven(other)
  }
  const keys = Object.keys(one)
  return (
    keys.length === Object.keys(other).length &&
    keys.every((key) => same((one as Given)[key], (other as Given)[key]))
  )
}
