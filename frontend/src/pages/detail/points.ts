/** The points of a task's curves: joined, divided by attempts, written as a table. Pure. */

import type { MetricPoint } from '@/api/types'
import { xOf } from '@/parts/charts/curve'
import type { XType } from '@/parts/charts/series'

/** First and last step of what is looked at. */
export type Steps = readonly [from: number, to: number]

/** A point that the stream told, with the id of its event. */
export interface Told {
  id: number
  point: MetricPoint
}

/** Points between two steps in more detail than the rest, and the last event they know. */
export interface Detail {
  steps: Steps
  points: readonly MetricPoint[]
  until: number
}

const within = (point: MetricPoint, [from, to]: Steps) => point.step >= from && point.step <= to

/** The overview, where there is a detail that instead, and what was told since; one attempt's, by step. */
export function joined(overview: readonly MetricPoint[], detail: Detail | null, told: readonly Told[], attempt: number): MetricPoint[] {
  const ofAttempt = (point: MetricPoint) => point.attempt === attempt
  const since = told.map(({ point }) => point).filter(ofAttempt)
  const before = overview.filter(ofAttempt)
  if (!detail) return [...before, ...since]
  const { steps, until } = detail
  const finer = detail.points.filter(ofAttempt)
  const later = told.filter(({ id, point }) => ofAttempt(point) && !(id <= until && within(point, steps)))
  return [
    ...before.filter((point) => point.step < steps[0]),
    ...finer,
    ...before.filter((point) => point.step > steps[1]),
    ...later.map(({ point }) => point),
  ].sort((a, b) => a.step - b.step)
}

/** The attempts that have points, the first one first. */
export function attemptsOf(...lists: readonly (readonly MetricPoint[])[]): number[] {
  const found = new Set<number>()
  for (const points of lists) for (const { attempt } of points) found.add(attempt)
  return [...found].sort((a, b) => a - b)
}

/** The steps between two places of the axis; null where no point lies between. */
export function stepsBetween(points: readonly MetricPoint[], range: readonly [number, number], xType: XType, start: number): Steps | null {
  const inside = points.filter((point) => {
    const x = xOf(point, xType, start)
    return x >= range[0] && x <= range[1]
  })
  return inside.length ? [inside[0]!.step, inside.at(-1)!.step] : null
}

const COLUMNS = ['loss', 'eval_loss', 'token_accuracy', 'learning_rate', 'grad_norm', 'tokens_per_second'] as const

/** All points as a table with the API's names, for a spreadsheet or a script. */
export function allToCsv(training: readonly MetricPoint[], evaluation: readonly MetricPoint[]): string {
  const rows = [...training, ...evaluation].sort((a, b) => a.attempt - b.attempt || a.step - b.step || a.at - b.at)
  const lines = [['attempt', 'step', 'epoch', 'time', ...COLUMNS].join(',')]
  for (const row of rows) {
    const time = new Date(row.at * 1000).toISOString()
    lines.push([row.attempt, row.step, row.epoch, time, ...COLUMNS.map((name) => row[name] ?? '')].join(','))
  }
  return `\uFEFF${lines.join('\r\n')}\r\n`
}
