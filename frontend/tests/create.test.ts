/** What the form of a new task makes of arguments, presets, old tasks and shares. */

import { describe, expect, it } from 'vitest'
import type { Argument, Preset } from '../src/api/types'
import {
  devicesOf,
  figure,
  grouped,
  isUnusual,
  isUsed,
  ownAdvice,
  presetOf,
  rangeText,
  textOf,
  valueOf,
  withPreset,
} from '../src/pages/create/arguments'
import { change } from '../src/pages/create/change'
import { bodyOf, emptyForm, formOf, nextName, same } from '../src/pages/create/form'
import { sharesOf, splitOf } from '../src/pages/create/split'

function argument(name: string, more: Partial<Argument> = {}): Argument {
  return {
    ...{ name, type: 'number', default: null, nullable: false, choices: null, minimum: null, minimumExclusive: false },
    ...{ maximum: null, maximumExclusive: false, recommended: null, recommendedByMethod: {}, group: 'basic', section: 'basic' },
    ...{ unit: '', aliases: [], labelZh: '', labelEn: '', hintZh: '', hintEn: '', adviceZh: '', adviceEn: '' },
    ...more,
  } as Argument
}

const schema = [
  argument('method', { type: 'choice', default: 'lora' }),
  argument('learning_rate', { default: 2e-4, recommended: [5e-5, 2e-4], recommendedByMethod: { full: [5e-6, 5e-5] } }),
  argument('max_steps', { default: -1, group: 'schedule', section: 'advanced' }),
  argument('lora_r', { default: 16, group: 'lora', section: 'advanced' }),
  argument('quantization_bits', { default: 4, group: 'lora', section: 'advanced' }),
  argument('split', { type: 'object', group: 'data', section: 'advanced' }),
]
const presets = [
  { key: 'quick', title: '', description: '', trainingArgs: { method: 'lora', max_steps: 20, lora_r: 8 } },
  { key: 'full', title: '', description: '', trainingArgs: { method: 'full', learning_rate: 2e-5 } },
] as Preset[]

describe('values', () => {
  it('are written as people write them', () => {
    expect([2e-4, 5e-5, 0.05, 0, 3, 1e9].map(figure)).toEqual(['2e-4', '5e-5', '0.05', '0', '3', '1e9'])
    expect(textOf(['q_proj', 'v_proj'])).toBe('q_proj, v_proj')
    expect([textOf(undefined), textOf(null), textOf(false)]).toEqual(['', '', 'false'])
  })

  it('are numbers where they can be, and else left to the server', () => {
    expect(['2e-4', ' 3 ', '.5', '-1', '', 'abc', '1,5', 'Infinity', '0x10'].map(valueOf)).toEqual(
      [2e-4, 3, 0.5, -1, undefined, 'abc', '1,5', 'Infinity', 16],
    )
  })

  it('are unusual outside the range of the method', () => {
    expect(isUnusual(schema[1]!, 2e-4, 'lora')).toBe(false)
    expect(isUnusual(schema[1]!, 2e-4, 'full')).toBe(true)
    expect(isUnusual(schema[1]!, 'abc', 'full')).toBe(false)
    expect([rangeText([5e-5, 2e-4]), rangeText([0.01, 0.01])]).toEqual(['5e-5 ~ 2e-4', '0.01'])
  })

  it('of devices are read as the server reads them', () => {
    expect(['', '0', '0,2-3', ' 1 , 1 '].map(devicesOf)).toEqual([[], [0], [0, 2, 3], [1]])
    expect(['a', '3-1', '-1', '0.5'].map(devicesOf)).toEqual([null, null, null, null])
  })
})

describe('arguments', () => {
  it('stand in their groups, and only where their method uses them', () => {
    expect(grouped(schema).map((group) => [group.name, group.arguments.length])).toEqual(
      [['basic', 2], ['schedule', 1], ['lora', 2], ['data', 1]],
    )
    expect([isUsed(schema[3]!, 'full'), isUsed(schema[3]!, 'lora'), isUsed(schema[4]!, 'lora'), isUsed(schema[4]!, 'qlora')]).toEqual(
      [false, true, false, true],
    )
  })

  it('have advice that is not said twice', () => {
    expect(ownAdvice('8-64', '')).toBe('')
    expect(ownAdvice('推荐 LoRA；显存受限选 QLoRA', '推荐 lora：资源需求低；显存受限用 qlora。')).toBe('')
    expect(ownAdvice('合理设置早停，可避免过拟合', '验证损失连续这么多次不下降就提前结束。')).not.toBe('')
  })
})

describe('presets', () => {
  it('set theirs, reset what others set, and keep the rest', () => {
    const quick = withPreset({ split: { train: 1 }, learning_rate: 1 }, presets[0]!, presets)
    expect(quick).toEqual({ split: { train: 1 }, method: 'lora', max_steps: 20, lora_r: 8 })
    expect(withPreset(quick, presets[1]!, presets)).toEqual({ split: { train: 1 }, method: 'full', learning_rate: 2e-5 })
  })

  it('are recognised by the values in effect', () => {
    expect(presetOf({ max_steps: 20, lora_r: 8 }, presets, schema)?.key).toBe('quick')
    expect(presetOf({ max_steps: 21, lora_r: 8 }, presets, schema)).toBeNull()
    expect(presetOf({}, presets, schema)).toBeNull()
  })
})

describe('a request', () => {
  it('holds what was given and nothing else', () => {
    const form = { ...emptyForm(), name: ' qa ', baseModel: 'm', datasetPath: 'd' }
    expect(bodyOf(form)).toEqual({ name: 'qa', baseModel: 'm', datasetPath: 'd' })
    form.trainingArgs = { lora_r: 8, split: '' }
    form.cudaVisibleDevices = '0,1'
    form.maxMemoryGib = 'much'
    expect(bodyOf(form)).toMatchObject({
      trainingArgs: { lora_r: 8 },
      gpuConfig: { cuda_visible_devices: '0,1', max_memory_gib: 'much' },
    })
  })

  it('comes back from an old task, without its output path', () => {
    const task = {
      ...{ name: 'qa', description: null, baseModel: 'm', datasetPath: 'd' },
      trainingArgs: { method: 'full', learning_rate: 2e-4, max_steps: -1, lora_r: 16, split: null },
      gpuConfig: { cuda_visible_devices: '1', memory_optimization: true, max_memory_gib: null },
    }
    const form = formOf({ ...task, givenArgs: ['method', 'learning_rate'] }, schema)
    expect(bodyOf(form)).toEqual({
      ...{ name: 'qa-2', baseModel: 'm', datasetPath: 'd' },
      trainingArgs: { method: 'full', learning_rate: 2e-4 },
      gpuConfig: { cuda_visible_devices: '1', memory_optimization: true },
    })
    expect(['a', 'a-2', 'a-9'].map(nextName)).toEqual(['a-2', 'a-3', 'a-10'])
  })

  it('is changed as suggested, and tells what was there', () => {
    const form = { ...emptyForm(), trainingArgs: { max_steps: 5, lora_r: 8 } as Record<string, unknown> }
    const marks: Record<string, string> = {}
    change(form, marks, { lora_r: 4, max_steps: '', method: 'lora' }, { lora_r: 8, max_steps: 5, method: 'lora' })
    expect(form.trainingArgs).toEqual({ lora_r: 4 })
    expect(marks).toEqual({ 'trainingArgs.lora_r': '8', 'trainingArgs.max_steps': '5' })
  })
})

describe('shares', () => {
  it('are percent in the form and parts on the wire', () => {
    const split = { train: 0.8, validation: 0.15, test: 0.05 }
    expect(sharesOf(split)).toEqual({ train: '80', validation: '15', test: '5' })
    expect(sharesOf('0.8,0.15,0.05')).toEqual(sharesOf(split))
    expect(splitOf({ train: '80', validation: '15', test: '5' })).toEqual(split)
    expect(splitOf({ train: '80', validation: 'x', test: '' })).toEqual({ train: 0.8, validation: 'x', test: 0 })
    expect([sharesOf(null), sharesOf(undefined), sharesOf('')]).toEqual([null, null, null])
  })
})

it('equality looks into objects', () => {
  expect(same({ a: 1, b: { c: [1] } }, { b: { c: [1] }, a: 1 })).toBe(true)
  expect(same({ a: 1 }, { a: 2 })).toBe(false)
  expect(same(null, undefined)).toBe(true)
  expect(same(0, null)).toBe(false)
})
