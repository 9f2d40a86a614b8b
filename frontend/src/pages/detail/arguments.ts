/** Training arguments of a task, as rows: which were chosen, which are defaults. Pure. */

import type { Argument } from '@/api/types'

export interface Row {
  name: string
  label: string
  hint: string
  unit: string
  value: unknown
  /** Asked for, as opposed to a default. */
  chosen: boolean
}

type Values = Record<string, unknown>

/** Rows in the schema's order; an argument that the schema does not know keeps its own name. */
export function rows(values: Values, given: readonly string[], schema: readonly Argument[], language: 'zh' | 'en'): Row[] {
  const known = schema.filter(({ name }) => name in values)
  const names = new Set(known.map(({ name }) => name))
  const strange = Object.keys(values).filter((name) => !names.has(name))
  return [
    ...known.map((each) => ({
      name: each.name,
      label: language === 'zh' ? each.labelZh : each.labelEn,
      hint: language === 'zh' ? each.hintZh : each.hintEn,
      unit: each.unit,
      value: values[each.name],
      chosen: given.includes(each.name),
    })),
    ...strange.map((name) => ({ name, label: name, hint: '', unit: '', value: values[name], chosen: given.includes(name) })),
  ]
}
