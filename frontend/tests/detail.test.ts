import { describe, expect, it } from 'vitest'
import type { Argument, MetricPoint, TaskEvent } from '../src/api/types'
import { rows } from '../src/pages/detail/arguments'
import { placeOf } from '../src/pages/detail/logPlace'
import { allToCsv, attemptsOf, joined, stepsBetween } from '../src/pages/detail/points'
import { beginOf, checkpoints, memoryOf, story } from '../src/pages/detail/timeline'
import { valueText } from '../src/parts/argumentValue'
import { curve, lowest } from '../src/parts/charts/curve'

const at = (step: number, more: Partial<MetricPoint> = {}): MetricPoint => ({ attempt: 1, step, at: 1000 + step, epoch: step / 10, ...more })
const steps = (points: readonly MetricPoint[]) => points.map(({ step }) => step)

describe('joined', () => {
  const overview = [at(1), at(50), at(100)]

  it('adds what the stream told, of one attempt', () => {
    const told = [{ id: 7, point: at(110) }, { id: 8, point: at(1, { attempt: 2 }) }]
    expect(steps(joined(overview, null, told, 1))).toEqual([1, 50, 100, 110])
    expect(steps(joined(overview, null, told, 2))).toEqual([1])
  })

  it('puts finer points where the reader looks, once', () => {
    const detail = { steps: [40, 110] as const, points: [at(45), at(50), at(55), at(100), at(110)], until: 7 }
    const told = [{ id: 7, point: at(110) }, { id: 9, point: at(108) }, { id: 10, point: at(120) }]
    expect(steps(joined(overview, detail, told, 1))).toEqual([1, 45, 50, 55, 100, 108, 110, 120])
  })
})

describe('points', () => {
  it('knows the attempts, the first one first', () => {
    expect(attemptsOf([at(1, { attempt: 2 })], [at(1)], [at(2)])).toEqual([1, 2])
  })

  it('leaves a gap where a value was not finite', () => {
    expect(curve([at(1, { loss: 2 }), at(2, { loss: null })], 'loss', 'step', 0)).toEqual([[1, 2], [2, NaN]])
    expect(curve([at(5, { loss: 2 })], 'loss', 'duration', 1000)).toEqual([[5, 2]])
  })

  it('finds the steps of a part of the axis', () => {
    const points = [at(10), at(20), at(30)]
    expect(stepsBetween(points, [1015, 1040], 'time', 0)).toEqual([20, 30])
    expect(stepsBetween(points, [11, 12], 'step', 0)).toBeNull()
  })

  it('finds the lowest', () => {
    expect(lowest([at(1, { eval_loss: 2 }), at(2), at(3, { eval_loss: 1 })], 'eval_loss')).toEqual({ step: 3, value: 1 })
    expect(lowest([], 'loss')).toBeNull()
  })

  it('writes all of them as a table', () => {
    const text = allToCsv([at(1, { loss: 2 })], [at(1, { at: 1002, eval_loss: 3 })])
    expect(text.split('\r\n').slice(0, 3)).toEqual([
      '\uFEFFattempt,step,epoch,time,loss,eval_loss,token_accuracy,learning_rate,grad_norm,tokens_per_second',
      '1,1,0.1,1970-01-01T00:16:41.000Z,2,,,,,',
      '1,1,0.1,1970-01-01T00:16:42.000Z,,3,,,,',
    ])
  })
})

let id = 0
const event = (type: string, data: Record<string, unknown> = {}, message = type, attempt = 1): TaskEvent => ({
  id: (id += 1), attempt, at: id, type, message, data,
})

describe('story', () => {
  it('tells the first training of an attempt and no evaluation', () => {
    const phases = ['loading', 'training', 'evaluating', 'training', 'saving'].map((phase) => event('phase', { phase }))
    const again = event('phase', { phase: 'training' }, 'phase', 2)
    expect(story([...phases, again]).map(({ data }) => data.phase)).toEqual(['loading', 'training', 'saving', 'training'])
  })

  it('tells an error once', () => {
    const told = story([event('error', {}, 'bad row'), event('status', { status: 'failed', error: {} }, 'bad row'), event('error', {}, 'other')])
    expect(told.map(({ type, message }) => `${type} ${message}`)).toEqual(['status bad row', 'error other'])
  })
})

describe('checkpoints', () => {
  const saved = [10, 20, 30, 40].map((step) => event('checkpoint', { step, path: `/o/checkpoint-${step}` }))

  it('shows those that the trainer keeps, the newest first', () => {
    const { kept, removed } = checkpoints(saved, 2, null)
    expect([kept.map(({ step }) => step), removed]).toEqual([[40, 30], 2])
  })

  it('shows the best, which is kept where a run may stop early', () => {
    const { kept, removed } = checkpoints(saved, 2, 10)
    expect([kept.map(({ step }) => step), removed]).toEqual([[40, 30, 10], 1])
  })

  it('counts one that was written again once', () => {
    const { kept, removed } = checkpoints([...saved, event('checkpoint', { step: 10, path: '/o/checkpoint-10' })], 9, null)
    expect([kept.map(({ step }) => step), removed]).toEqual([[10, 40, 30, 20], 0])
  })
})

describe('memoryOf', () => {
  it('corrects the plan by past runs, and compares it with what is comparable', () => {
    const events = [
      event('memory_plan', { plannedBytes: 100, ratio: 1.2, availableBytes: null, deviceType: 'cuda' }),
      event('finished', { peakMemoryBytes: 300, measuredMemoryBytes: 110 }),
    ]
    expect(memoryOf(events, 1)).toEqual({ planned: 120, available: null, peak: 110, onGpu: true })
    expect(memoryOf(events, 2)).toEqual({ planned: null, available: null, peak: null, onGpu: false })
  })

  it('knows when an attempt began', () => {
    const events = [event('status'), event('status', {}, '', 2)]
    expect(beginOf(events, 2)).toBe(events[1]!.at)
    expect(beginOf([], 1)).toBeNull()
  })
})

describe('rows', () => {
  const schema = [{ name: 'lora_r', labelZh: 'LoRA 秩', labelEn: 'LoRA rank', hintZh: '', hintEn: '', unit: '' }] as Argument[]

  it('marks what was given and keeps what the schema does not know', () => {
    expect(rows({ older: 1, lora_r: 16 }, ['older'], schema, 'zh').map(({ label, chosen }) => [label, chosen])).toEqual([
      ['LoRA 秩', false],
      ['older', true],
    ])
  })
})

describe('valueText', () => {
  const words = { yes: '是', no: '否', none: '未设置' }
  it.each([
    [null, '未设置'],
    ['', '未设置'],
    [true, '是'],
    [false, '否'],
    [0.0002, '2e-4'],
    [0.05, '0.05'],
    [0, '0'],
    [['q_proj', 'v_proj'], 'q_proj, v_proj'],
    [{ train: 0.8, test: 0.2 }, 'train 0.8, test 0.2'],
    ['cosine', 'cosine'],
  ])('%j is %s', (value, text) => expect(valueText(value, words)).toBe(text))
})

describe('placeOf', () => {
  const log = ['a', 'Traceback', '  one', 'a', 'Traceback', '  two', 'Error: x']

  it('finds the last place', () => {
    expect(placeOf(['Traceback', '  two', 'Error: x'], log, 100)).toBe(104)
    expect(placeOf(['Traceback', '  one'], log, 0)).toBe(1)
  })

  it('knows that the middle of a long traceback is left out', () => {
    expect(placeOf(['Traceback', '...', 'Error: x'], log, 0)).toBe(4)
  })

  it('says when they are not there', () => {
    expect(placeOf(['Traceback', 'three'], log, 0)).toBeNull()
    expect(placeOf([], log, 0)).toBeNull()
    expect(placeOf(['', ''], log, 0)).toBeNull()
  })
})
