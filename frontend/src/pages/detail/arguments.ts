/** Training arguments of a task, as rows: which were chosen, which are defaults, how a value is read. Pure. */

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

/** A value in a few characters; `words` are the reader's for yes, no and nothing. */
export function valueText(value: unknown, words: { yes: string; no: string; none: string }): string {
  if (value === null || value === undefined || value === '') return words.none
  if (typeof value === 'boolean') return value ? words.yes : words.no
  if (typeof value === 'number') return numberText(value)
  if (Array.isArray(value)) return value.map((each) => valueText(each, words)).join(', ')
  if (typeof value === 'object') {
    return Object.entries(value).map(([name, each]) => `${name} ${valueText(each, words)}`).join(', ')
  }
  return String(value)
}

/** As people write it in a configuration: 0.0002 as 2e-4. */
function numberText(value: number): string {
  if (value === 0 || Math.abs(value) >= 1e-3) return String(value)
  return value.toExponential().replace('e+', 'e')
}
