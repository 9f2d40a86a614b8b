/** What a chart shows, and what is computed from it. Pure. */

export type Point = readonly [x: number, y: number]

export interface Series {
  name: string
  /** By rising x. y that is not finite is a gap. */
  points: readonly Point[]
  /** 1-8, the colours of the theme; else by its place. */
  colour?: number
  dashed?: boolean
  /** False: never smoothed, and shown with a dot at each point (evaluations). */
  smooth?: boolean
}

/** step: whole numbers; time: Unix seconds; duration: seconds since a start. */
export type XType = 'step' | 'time' | 'duration'

/**
 * Exponential moving average with its bias at the start taken out, as TensorBoard does it.
 * weight: 0 (as it is) to below 1 (smoothest).
 */
export function smoothed(points: readonly Point[], weight: number): Point[] {
  let sum = 0
  let total = 0
  return points.map(([x, y]) => {
    if (!Number.isFinite(y)) return [x, y] as const
    sum = sum * weight + y * (1 - weight)
    total = total * weight + (1 - weight)
    return [x, sum / total] as const
  })
}

/** The points of a range of x and one on either side, to which a line leads; all of them for null. */
export function between(points: readonly Point[], range: readonly [number, number] | null): readonly Point[] {
  if (!range) return points
  const first = points.findIndex(([x]) => x >= range[0])
  if (first < 0) return points.slice(-1)
  const last = points.findLastIndex(([x]) => x <= range[1])
  return points.slice(Math.max(0, first - 1), last + 2)
}

/** The series as a table: a row an x, a column a series. RFC 4180, with a mark for spreadsheets. */
export function toCsv(series: readonly Series[], xName: string): string {
  const rows = new Map<number, string[]>()
  series.forEach(({ points }, column) => {
    for (const [x, y] of points) {
      let row = rows.get(x)
      if (!row) rows.set(x, (row = new Array<string>(series.length).fill('')))
      row[column] = Number.isFinite(y) ? String(y) : ''
    }
  })
  const lines = [[xName, ...series.map(({ name }) => name)].map(cell).join(',')]
  for (const x of [...rows.keys()].sort((a, b) => a - b)) lines.push([String(x), ...rows.get(x)!].join(','))
  return `\uFEFF${lines.join('\r\n')}\r\n`
}

/** Names are people's: quoted where they must be, and never a formula. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
