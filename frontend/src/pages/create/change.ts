/** Changes that somebody suggested, remembered so that the reader sees them. Pure. */

import { textOf } from './arguments'
import { isGiven, same, type TaskForm } from './form'

/** Fields that were changed for the reader, with what they held before. */
export type Marks = Record<string, string>

/** Set training arguments and remember what each was: `before` holds the values in effect. */
export function change(
  form: TaskForm,
  marks: Marks,
  changes: Record<string, unknown>,
  before: Record<string, unknown>,
): void {
  for (const [name, value] of Object.entries(changes)) {
    if (same(before[name], value)) continue
    marks[`trainingArgs.${name}`] = textOf(before[name])
    if (isGiven(value)) form.trainingArgs[name] = value
    else delete form.trainingArgs[name]
  }
}
