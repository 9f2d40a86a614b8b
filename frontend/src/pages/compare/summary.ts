/** What came out of each task, in rows that can be read across. Pure. */

import { lowest } from '@/parts/charts/curve'
import type { Compared } from './live'

/** `at`: the step of the value, where it is one of many. */
export interface Result {
  value: number | null
  at?: number
  /** The best of the row, when there is one. */
  best: boolean
}

export interface ResultRow {
  name: string
  results: Result[]
}

type Read = (compared: Compared) => { value: number | null | undefined; at?: number } | null

const finite = (value: number | null | undefined) => (typeof value === 'number' && Number.isFinite(value) ? value : null)

const ROWS: { name: string; read: Read; better?: 'less' | 'more' }[] = [
  { name: 'bestLoss', read: ({ training }) => least(lowest(training, 'loss')), better: 'less' },
  { name: 'finalLoss', read: ({ training }) => ({ value: training.at(-1)?.loss }), better: 'less' },
  { name: 'bestEvalLoss', read: ({ evaluation }) => least(lowest(evaluation, 'eval_loss')), better: 'less' },
  { name: 'finalEvalLoss', read: ({ evaluation }) => ({ value: evaluation.at(-1)?.eval_loss }), better: 'less' },
  { name: 'accuracy', read: ({ evaluation }) => ({ value: evaluation.at(-1)?.token_accuracy }), better: 'more' },
  { name: 'steps', read: ({ task }) => ({ value: task.step, at: task.totalSteps ?? undefined }) },
  { name: 'epochs', read: ({ task }) => ({ value: task.epoch }) },
  { name: 'time', read: ({ task }) => ({ value: task.elapsedSeconds }) },
  { name: 'speed', read: ({ task }) => ({ value: task.tokensPerSecond }), better: 'more' },
]

function least(found: { step: number; value: number } | null): { value: number | null; at?: number } {
  return found ? { value: found.value, at: found.step } : { value: null }
}

export function resultRows(compared: readonly Compared[]): ResultRow[] {
  return ROWS.map(({ name, read, better }) => {
    const found = compared.map((each) => {
      const { value, at } = read(each) ?? { value: null }
      return { value: finite(value), at }
    })
    const best = better && bestOf(found.map(({ value }) => value), better)
    return { name, results: found.map((each) => ({ ...each, best: each.value !== null && each.value === best })) }
  })
}

/** Null where nothing is better than anything else. */
function bestOf(values: readonly (number | null)[], better: 'less' | 'more'): number | null {
  const known = values.filter((value) => value !== null)
  const low = Math.min(...known)
  const high = Math.max(...known)
  if (known.length < 2 || low === high) return null
  return better === 'less' ? low : high
}
