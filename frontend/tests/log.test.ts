/** The pure parts of the log page: marks, lines that are kept, and the scrollbar. */

import { describe, expect, it } from 'vitest'
import { piecesOf } from '../src/pages/log/ansi'
import { CHUNK, Lines } from '../src/pages/log/lines'
import { finderOf, withMarks } from '../src/pages/log/marks'
import { barLength, barOf, exact, LENGTH_AT_MOST, positionOf, ROW } from '../src/pages/log/scroll'

const marked = (line: string, query: string, ignoreCase = false) =>
  withMarks(piecesOf(line), finderOf(query, ignoreCase))
    .map(({ text, marked: found }) => (found ? `[${text}]` : text))
    .join('')

describe('withMarks', () => {
  it('marks each place', () => {
    expect(marked('loss 1 loss 2', 'loss')).toBe('[loss] 1 [loss] 2')
    expect(marked('nothing', 'loss')).toBe('nothing')
    expect(marked('aaa', 'a')).toBe('[a][a][a]')
    expect(marked('中文内存不足', '内存')).toBe('中文[内存]不足')
  })

  it('takes what is looked for as text', () => {
    expect(marked('a.b (c) [d] \\e $f /g -h', '(c) [d] \\e $f /g -h')).toBe('a.b [(c) [d] \\e $f /g -h]')
    expect(marked('axb', 'a.b')).toBe('axb')
    expect(finderOf('', true)).toBeNull()
  })

  it('ignores case where it should', () => {
    expect(marked('Error ERROR', 'error', true)).toBe('[Error] [ERROR]')
    expect(marked('Error ERROR', 'error')).toBe('Error ERROR')
    // Small letters that are longer than the capital do not shift the marks.
    expect(marked('İİ Error', 'error', true)).toBe('İİ [Error]')
  })

  it('goes on across colours, and keeps them', () => {
    const line = '\x1b[31mCUDA out\x1b[0m of \x1b[1mmemory'
    expect(marked(line, 'out of mem')).toBe('CUDA [out][ of ][mem]ory')
    const pieces = withMarks(piecesOf(line), finderOf('out of mem', false))
    expect(pieces.map(({ names }) => names)).toEqual(['fg1', 'fg1', '', 'bold', 'bold'])
    expect(pieces.map(({ text }) => text).join('')).toBe('CUDA out of memory')
  })
})

describe('Lines', () => {
  const of = (first: number, count: number) => Array.from({ length: count }, (_, index) => `line ${first + index}`)

  it('keeps lines by their numbers', () => {
    const lines = new Lines(1e6)
    lines.put(CHUNK - 2, of(CHUNK - 2, 4))
    expect(lines.get(CHUNK - 3)).toBeUndefined()
    expect(lines.get(CHUNK - 1)).toBe(`line ${CHUNK - 1}`)
    expect(lines.get(CHUNK)).toBe(`line ${CHUNK}`)
    lines.drop(CHUNK)
    expect(lines.get(CHUNK)).toBeUndefined()
  })

  it('knows an empty line from one that is not here', () => {
    const lines = new Lines(1e6)
    lines.put(0, ['', 'a'])
    expect(lines.missing(0, 2, 1000)).toBeNull()
    expect(lines.missing(0, 3, 1000)).toEqual({ first: 0, count: CHUNK })
  })

  it('asks for whole chunks, and for no more than is allowed', () => {
    const lines = new Lines(1e6)
    expect(lines.missing(CHUNK + 5, 3 * CHUNK + 1, 1000)).toEqual({ first: CHUNK, count: 3 * CHUNK })
    expect(lines.missing(0, 100 * CHUNK, 1000)).toEqual({ first: 0, count: 1000 })
    lines.put(2 * CHUNK, of(2 * CHUNK, CHUNK))
    expect(lines.missing(CHUNK, 4 * CHUNK, 1000)).toEqual({ first: CHUNK, count: CHUNK })
    expect(lines.missing(2 * CHUNK, 4 * CHUNK, 1000)).toEqual({ first: 3 * CHUNK, count: CHUNK })
  })

  it('lets go of what was used longest ago', () => {
    const lines = new Lines(CHUNK * 10 * 4)
    for (let chunk = 0; chunk < 3; chunk += 1) lines.put(chunk * CHUNK, new Array(CHUNK).fill('0123456789'))
    lines.use(0, 1)
    for (let chunk = 3; chunk < 6; chunk += 1) lines.put(chunk * CHUNK, new Array(CHUNK).fill('0123456789'))
    expect([0, 1, 2, 3, 4, 5].map((chunk) => lines.get(chunk * CHUNK) !== undefined)).toEqual([true, false, false, true, true, true])
  })
})

describe('the scrollbar', () => {
  const view = 600
  it('is the log itself while that is short', () => {
    const total = 1000
    const range = barLength(total, view) - view
    const end = total - view / ROW
    expect(exact(total, false)).toBe(true)
    expect(exact(total, true)).toBe(false)
    expect(barOf(500, end, range)).toBeCloseTo(500 * ROW, 6)
    expect(positionOf(500 * ROW, end, range)).toBeCloseTo(500, 6)
  })

  it('stands for millions of lines with a length that browsers have', () => {
    const total = 50_000_000
    expect(barLength(total, view)).toBe(LENGTH_AT_MOST)
    expect(exact(total, false)).toBe(false)
    const range = LENGTH_AT_MOST - view
    const end = total - view / ROW
    expect(barOf(end, end, range)).toBe(range)
    expect(positionOf(range, end, range)).toBe(end)
    expect(positionOf(0, end, range)).toBe(0)
    for (const line of [1, 12_345_678, 49_999_000]) expect(positionOf(barOf(line, end, range), end, range)).toBeCloseTo(line, 3)
  })

  it('does not move where all is seen', () => {
    expect(barLength(3, view)).toBe(view)
    expect(barOf(0, 0, 0)).toBe(0)
    expect(positionOf(0, 0, 0)).toBe(0)
  })
})
