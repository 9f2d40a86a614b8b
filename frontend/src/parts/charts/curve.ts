/** The points of a training -> the points of a chart. Pure. */

import type { MetricPoint } from '@/api/types'
import type { Point, XType } from './series'

/** What a point has a value for. */
export type Field = 'loss' | 'learning_rate' | 'grad_norm' | 'tokens_per_second' | 'eval_loss' | 'token_accuracy'

/** Where a point stands: `start` is when its attempt began, in Unix seconds. */
export function xOf(point: MetricPoint, xType: XType, start: number): number {
  if (xType === 'step') return point.step
  return xType === 'time' ? point.at : Math.max(0, point.at - start)
}

/** A value that was not finite is left out by the server: a gap. */
export function curve(points: readonly MetricPoint[], field: Field, xType: XType, start: number): Point[] {
  return points.map((point) => [xOf(point, xType, start), point[field] ?? NaN] as const)
}

/** The lowest value of a field, and where it is. */
export function lowest(points: readonly MetricPoint[], field: Field): { step: number; value: number } | null {
  let found: { step: number; value: number } | null = null
  for (const point of points) {
    const value = point[field]
    if (value !== null && value !== undefined && (!found || value < found.value)) found = { step: point.step, value }
  }
  return found
}
