import { describe, expect, it } from 'vitest'
import type { Argument, MetricPoint, Task } from '../src/api/types'
import { differences } from '../src/pages/compare/differences'
import { AT_MOST, idsOf } from '../src/pages/compare/ids'
import type { Compared } from '../src/pages/compare/live'
import { resultRows } from '../src/pages/compare/summary'

const point = (step: number, values: Partial<MetricPoint>) => ({ attempt: 1, step, at: step, epoch: 1, ...values }) as MetricPoint
const task = (values: Partial<Task>) =>
  ({ ID: 1, baseModel: '/m/a', datasetPath: '/d', trainingArgs: {}, gpuConfig: {}, step: 10, totalSteps: 20, epoch: 1, elapsedSeconds: 5, tokensPerSecond: 100, ...values }) as Task
const compared = (training: MetricPoint[], evaluation: MetricPoint[] = [], values: Partial<Task> = {}) =>
  ({ task: task(values), training, evaluation, colour: 1 }) as Compared

describe('idsOf', () => {
  it('takes each number once, and no more than can be told apart', () => {
    expect(idsOf('3,1,3,x,-2,1.5,0')).toEqual([3, 1])
    expect(idsOf(undefined)).toEqual([])
    expect(idsOf(['1,2', '3'])).toEqual([1, 2, 3])
    expect(idsOf('1,2,3,4,5,6,7,8,9,10')).toHaveLength(AT_MOST)
  })
})

describe('differences', () => {
  const schema = ['method', 'lora_r'].map((name) => ({ name })) as Argument[]

  it('marks what is not the same everywhere, in the order of the schema', () => {
    const rows = differences(
      [task({ trainingArgs: { lora_r: 8, method: 'lora', old: 1 } }), task({ trainingArgs: { lora_r: 16, method: 'lora' } })],
      schema,
    )
    expect(rows.map(({ name }) => name).slice(0, 5)).toEqual(['baseModel', 'datasetPath', 'method', 'lora_r', 'old'])
    expect(rows.filter(({ differs }) => differs).map(({ name }) => name)).toEqual(['lora_r', 'old'])
    expect(rows.find(({ name }) => name === 'old')!.values).toEqual([1, undefined])
  })

  it('takes missing and null for the same, and lists by what they hold', () => {
    const rows = differences(
      [task({ trainingArgs: { lora_r: null, method: ['q', 'v'] } }), task({ trainingArgs: { method: ['q', 'v'] } })],
      schema,
    )
    expect(rows.some(({ differs }) => differs)).toBe(false)
  })
})

describe('resultRows', () => {
  const row = (name: string, ...all: Compared[]) => resultRows(all).find((each) => each.name === name)!.results

  it('finds the lowest loss, where it was, and whose is best', () => {
    const first = compared([point(5, { loss: 3 }), point(10, { loss: 1 }), point(15, { loss: 2 })])
    const second = compared([point(5, { loss: 1.5 })])
    expect(row('bestLoss', first, second)).toEqual([
      { value: 1, at: 10, best: true },
      { value: 1.5, at: 5, best: false },
    ])
    expect(row('finalLoss', first, second).map(({ value, best }) => [value, best])).toEqual([[2, false], [1.5, true]])
  })

  it('prefers a high accuracy', () => {
    const results = row('accuracy', compared([], [point(1, { token_accuracy: 0.5 })]), compared([], [point(1, { token_accuracy: 0.75 })]))
    expect(results.map(({ best }) => best)).toEqual([false, true])
  })

  it('calls nothing best where there is nothing to compare with', () => {
    expect(row('bestLoss', compared([point(1, { loss: 1 })]), compared([]))).toEqual([
      { value: 1, at: 1, best: false },
      { value: null, at: undefined, best: false },
    ])
    expect(row('speed', compared([]), compared([])).some(({ best }) => best)).toBe(false)
  })

  it('leaves out a loss that was no number', () => {
    expect(row('finalLoss', compared([point(1, { loss: 1 }), point(2, {})]))[0]!.value).toBeNull()
  })
})
