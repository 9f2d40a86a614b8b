/**
 * How far a log is scrolled, in lines, and how far its scrollbar. They are the same while the log is short.
 * A browser has no element of 200 million pixels, though, and lines that are wrapped have heights that nobody
 * knows before they are drawn: there, a bar of bounded length stands for all lines.
 */

export const ROW = 20 // pixels of a line that is not wrapped

/** Pixels of the scrolled element; Firefox ends at 17.8 million. */
export const LENGTH_AT_MOST = 12_000_000

/** Length of the bar for `total` lines. */
export function barLength(total: number, view: number): number {
  return Math.max(view, Math.min(total * ROW, LENGTH_AT_MOST))
}

/** True where a pixel of the bar is a pixel of the log, so that the browser can scroll it itself. */
export function exact(total: number, wrapped: boolean): boolean {
  return !wrapped && total * ROW <= LENGTH_AT_MOST
}

/**
 * Place of the bar for a position in lines. `end` is the position whose view ends with the last line, `range` the
 * place of the bar there.
 */
export function barOf(position: number, end: number, range: number): number {
  return end <= 0 ? 0 : Math.min(range, (position / end) * range)
}

/** Position in lines for a place of the bar. */
export function positionOf(bar: number, end: number, range: number): number {
  return range <= 0 ? 0 : Math.max(0, (bar / range) * end)
}
