/** Where a search found something within a line: its pieces are cut there. */

import type { Piece } from './ansi'

export interface MarkedPiece extends Piece {
  marked?: boolean
}

/** What finds `query` in a line as the server does: as text, never as a pattern. "" finds nothing. */
export function finderOf(query: string, ignoreCase: boolean): RegExp | null {
  if (!query) return null
  return new RegExp(query.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), ignoreCase ? 'giu' : 'gu')
}

/** The same text, cut where `finder` finds something, across pieces too. */
export function withMarks(pieces: Piece[], finder: RegExp | null): MarkedPiece[] {
  if (!finder) return pieces
  const whole = pieces.map((piece) => piece.text).join('')
  const places = [...whole.matchAll(finder)].map((found) => [found.index, found.index + found[0].length] as const)
  if (!places.length) return pieces
  const cut: MarkedPiece[] = []
  let start = 0 // of the piece in the whole
  let next = 0 // the first place that does not end before the piece
  for (const piece of pieces) {
    const end = start + piece.text.length
    let at = start
    while (next < places.length && places[next]![0] < end) {
      const [from, to] = places[next]!
      if (from > at) cut.push({ ...piece, text: whole.slice(at, from) })
      at = Math.max(at, from)
      cut.push({ ...piece, text: whole.slice(at, Math.min(to, end)), marked: true })
      at = Math.min(to, end)
      if (to > end) break // goes on in the next piece
      next += 1
    }
    if (at < end) cut.push({ ...piece, text: whole.slice(at, end) })
    start = end
  }
  return cut
}
