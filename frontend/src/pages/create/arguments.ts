/** Training arguments as the schema describes them: how they are written, told and compared. Pure. */

import type { Argument, Preset } from '@/api/types'
import { type Given, isGiven, same } from './form'

/** What a person would write: 0.0002 -> "2e-4", ["q_proj", "v_proj"] -> "q_proj, v_proj". */
export function textOf(value: unknown): string {
  if (!isGiven(value)) return ''
  if (typeof value === 'number') return figure(value)
  if (Array.isArray(value)) return value.join(', ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** 0.00002 -> "2e-5"; 0.05 -> "0.05". */
export function figure(value: number): string {
  const size = Math.abs(value)
  return size !== 0 && (size < 1e-3 || size >= 1e9) ? value.toExponential().replace('e+', 'e') : String(value)
}

/** The number that a text means. A text that means none stays one: the server says what is wrong with it. */
export function valueOf(text: string): number | string | undefined {
  const plain = text.trim()
  if (!plain) return undefined
  const number = Number(plain)
  return Number.isFinite(number) && /^[-+\d.]/.test(plain) ? number : plain
}

/** The range that is recommended for `method`. */
export function recommendedOf(argument: Argument, method: string): readonly [number, number] | null {
  const range = argument.recommendedByMethod[method] ?? argument.recommended
  return range?.length === 2 ? [range[0]!, range[1]!] : null
}

/** [5e-5, 2e-4] -> "5e-5 ~ 2e-4"; one value where there is only one. */
export function rangeText([low, high]: readonly [number, number]): string {
  return low === high ? figure(low) : `${figure(low)} ~ ${figure(high)}`
}

/** Whether a value is allowed, but not recommended. */
export function isUnusual(argument: Argument, value: unknown, method: string): boolean {
  const range = recommendedOf(argument, method)
  return range !== null && typeof value === 'number' && (value < range[0] || value > range[1])
}

/** Whether a method uses the argument at all. */
export function isUsed(argument: Argument, method: string): boolean {
  if (argument.name === 'quantization_bits') return method === 'qlora'
  return !(argument.group === 'lora' && method === 'full')
}

/** The advice, unless the hint or the range beside the label says it already. */
export function ownAdvice(advice: string, hint: string): string {
  const plain = advice.trim()
  return /^[\d.e\s~–-]*$/.test(plain) || likeness(plain, hint) >= 0.7 ? '' : plain
}

/** How much of a text is in another one: the share of its pairs of letters that are there, too. */
function likeness(text: string, other: string): number {
  const letters = (given: string) => given.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
  const pairs = (given: string) => Array.from({ length: Math.max(0, given.length - 1) }, (_, at) => given.slice(at, at + 2))
  const there = new Set(pairs(letters(other)))
  const mine = pairs(letters(text))
  return mine.length ? mine.filter((pair) => there.has(pair)).length / mine.length : 0
}

/** The given arguments with those of a preset; what other presets set, and this one does not, is reset. */
export function withPreset(given: Given, chosen: Preset, all: readonly Preset[]): Given {
  const kept = { ...given }
  for (const preset of all) for (const name of Object.keys(preset.trainingArgs)) delete kept[name]
  return { ...kept, ...chosen.trainingArgs }
}

/** The preset that the given arguments amount to, if they do. */
export function presetOf(given: Given, all: readonly Preset[], schema: readonly Argument[]): Preset | null {
  const defaults = Object.fromEntries(schema.map((argument) => [argument.name, argument.default]))
  const names = new Set(all.flatMap((preset) => Object.keys(preset.trainingArgs)))
  const amounts = (values: Given, name: string) => (isGiven(values[name]) ? values[name] : defaults[name])
  const matches = (preset: Preset) =>
    [...names].every((name) => same(amounts(given, name), amounts(preset.trainingArgs, name)))
  return all.find(matches) ?? null
}

export interface Group {
  name: string
  arguments: Argument[]
}

/** Arguments by their groups, in the schema's order. */
export function grouped(schema: readonly Argument[]): Group[] {
  const groups = new Map<string, Argument[]>()
  for (const argument of schema) {
    const there = groups.get(argument.group)
    if (there) there.push(argument)
    else groups.set(argument.group, [argument])
  }
  return [...groups].map(([name, members]) => ({ name, arguments: members }))
}

/** Indices that a list of devices names, "0,2-3" -> [0, 2, 3]; null where it is none. */
export function devicesOf(text: string): number[] | null {
  const found: number[] = []
  for (const part of text.split(',').map((piece) => piece.trim())) {
    if (!part) continue
    const [, first, last] = /^(\d{1,4})(?:\s*-\s*(\d{1,4}))?$/.exec(part) ?? []
    if (first === undefined) return null
    const high = Number(last ?? first)
    if (high < Number(first) || high - Number(first) >= 1024) return null
    for (let index = Number(first); index <= high; index++) found.push(index)
  }
  return [...new Set(found)]
}
