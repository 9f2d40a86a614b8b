import { describe, expect, it } from 'vitest'
import { between, smoothed, toCsv, type Point } from '../src/parts/charts/series'

describe('smoothed', () => {
  it('keeps a constant as it is from the first point on', () => {
    const flat: Point[] = [[0, 3], [1, 3], [2, 3]]
    expect(smoothed(flat, 0.9).map(([, y]) => y)).toEqual([3, 3, 3].map((y) => expect.closeTo(y, 10) as number))
  })

  it('changes nothing at weight 0', () => {
    const points: Point[] = [[0, 1], [1, 5]]
    expect(smoothed(points, 0)).toEqual(points)
  })

  it('goes on after a gap', () => {
    const [, gap, after] = smoothed([[0, 1], [1, NaN], [2, 1]], 0.5)
    expect(gap![1]).toBeNaN()
    expect(after![1]).toBeCloseTo(1)
  })
})

describe('toCsv', () => {
  it('joins series by x and leaves holes empty', () => {
    const text = toCsv([{ name: 'loss', points: [[10, 1.5], [20, 1]] }, { name: 'eval', points: [[20, 1.2], [5, NaN]] }], 'step')
    expect(text).toBe('\uFEFFstep,loss,eval\r\n5,,\r\n10,1.5,\r\n20,1,1.2\r\n')
  })

  it('quotes names and disarms formulas', () => {
    expect(toCsv([{ name: '=1+1,"x"', points: [] }], 'step')).toBe('\uFEFFstep,"\'=1+1,""x"""\r\n')
  })
})

describe('between', () => {
  const points: Point[] = [[0, 1], [10, 2], [20, 3], [30, 4]]

  it('keeps one point on either side, for the line that leads there', () => {
    expect(between(points, [12, 18])).toEqual([[10, 2], [20, 3]])
    expect(between(points, [10, 20])).toEqual(points)
    expect(between(points, [-5, 3])).toEqual([[0, 1], [10, 2]])
  })

  it('has an end where the points have one', () => {
    expect(between(points, [25, 99])).toEqual([[20, 3], [30, 4]])
    expect(between(points, [40, 99])).toEqual([[30, 4]])
    expect(between([], [0, 1])).toEqual([])
  })
})
