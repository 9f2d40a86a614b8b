/** How the form begins: empty, as an old task, or as a failed one with what was suggested to be changed. */

import type { LocationQuery } from 'vue-router'
import { get } from '@/api/client'
import type { Argument, Task } from '@/api/types'
import { change, type Marks } from './change'
import { emptyForm, formOf, type TaskForm } from './form'

export interface Origin {
  kind: 'new' | 'from' | 'retry'
  id: number
}

export interface Beginning {
  origin: Origin
  /** The name of its draft. */
  key: string
  form: TaskForm
  marks: Marks
  task: Task | null
}

export function originOf(query: LocationQuery): Origin {
  for (const kind of ['retry', 'from'] as const) {
    const id = Number(query[kind])
    if (Number.isInteger(id) && id > 0) return { kind, id }
  }
  return { kind: 'new', id: 0 }
}

/** Ask for what the form begins with. */
export async function begin(origin: Origin, schema: readonly Argument[]): Promise<Beginning> {
  if (origin.kind === 'new') return { origin, key: 'new', form: emptyForm(), marks: {}, task: null }
  const task = await get('getTask', { id: origin.id })
  const form = formOf(task, schema)
  const marks: Marks = {}
  if (origin.kind === 'retry') change(form, marks, task.error?.suggestedChange ?? {}, task.trainingArgs)
  return { origin, key: `${origin.kind}-${origin.id}`, form, marks, task }
}
