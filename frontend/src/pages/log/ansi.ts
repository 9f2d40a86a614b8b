/**
 * A line of a log with terminal escapes -> pieces of text, each with a look. Only text comes out of here:
 * what a log holds is never markup, and no escape does anything but colour.
 *
 * Colours hold to the end of their line: which line comes before is not known in a window of a large log.
 */

/** `names` are classes of ansi.css; `fg` and `bg` colours beyond the sixteen, as #rrggbb. */
export interface Piece {
  text: string
  names: string
  fg?: string
  bg?: string
}

// In this order: colours and other CSI sequences; OSC (titles, links) with its end; DCS and its kin; short
// escapes; one that the end of the line cuts off. An OSC without an end would swallow the line: it stays.
const ESCAPE =
  // eslint-disable-next-line no-control-regex
  /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[ -/]+[0-~]|\x1b[0-OQ-WYZ\\`-~]|\x1b(?:\[[0-?]*[ -/]*)?$/g

// Controls, and what turns the direction of text round: seen, or a line could pretend to be another.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/

interface Look {
  bold: boolean
  dim: boolean
  italic: boolean
  underline: boolean
  strike: boolean
  inverse: boolean
  /** One of the sixteen by its number, or #rrggbb. */
  fg: number | string | null
  bg: number | string | null
}

const PLAIN: Readonly<Look> = {
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  strike: false,
  inverse: false,
  fg: null,
  bg: null,
}

/** The text of a line without its escapes; what is copied. */
export function plainText(line: string): string {
  return line.includes('\x1b') ? line.replace(ESCAPE, '') : line
}

/** The pieces of a line, in order. */
export function piecesOf(line: string): Piece[] {
  const pieces: Piece[] = []
  if (!line.includes('\x1b')) {
    addText(pieces, line, PLAIN)
    return pieces
  }
  const look: Look = { ...PLAIN }
  let at = 0
  for (const found of line.matchAll(ESCAPE)) {
    addText(pieces, line.slice(at, found.index), look)
    at = found.index + found[0].length
    if (found[2] === 'm') change(look, found[1] ?? '')
  }
  addText(pieces, line.slice(at), look)
  return pieces
}

function addText(pieces: Piece[], text: string, look: Readonly<Look>): void {
  if (!text) return
  if (!CONTROL.test(text)) {
    pieces.push(piece(text, look))
    return
  }
  for (const part of text.split(new RegExp(`(${CONTROL.source})`))) {
    if (!part) continue
    if (CONTROL.test(part)) pieces.push({ text: visible(part), names: 'control' })
    else pieces.push(piece(part, look))
  }
}

/** "^G" for BEL, as terminals write it; "U+202E" for what has no such name. */
function visible(control: string): string {
  const code = control.charCodeAt(0)
  if (code < 0x80) return `^${String.fromCharCode(code ^ 0x40)}`
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
}

function piece(text: string, look: Readonly<Look>): Piece {
  const names: string[] = []
  for (const name of ['bold', 'dim', 'italic', 'underline', 'strike', 'inverse'] as const) {
    if (look[name]) names.push(name)
  }
  const made: Piece = { text, names: '' }
  if (typeof look.fg === 'number') names.push(`fg${look.fg}`)
  else if (look.fg !== null) {
    names.push('fg')
    made.fg = look.fg
  }
  if (typeof look.bg === 'number') names.push(`bg${look.bg}`)
  else if (look.bg !== null) {
    names.push('bg')
    made.bg = look.bg
  }
  made.names = names.join(' ')
  return made
}

/** Apply the numbers of one SGR sequence, e.g. "1;31" or "38;2;255;128;0" or "38:5:208". */
function change(look: Look, numbers: string): void {
  // Private sequences such as `>4;2m` (keyboard modes) are none of ours.
  if (/[<=>?]/.test(numbers)) return
  const parts = numbers.split(';')
  for (let index = 0; index < parts.length; index += 1) {
    const [first = '', ...sub] = parts[index]!.split(':')
    const code = Number(first)
    if (code === 38 || code === 48 || code === 58) {
      // Of the form 38:2::r:g:b the second field is a colour space.
      const given = sub.length ? sub : parts.slice(index + 1, index + 5)
      const values = (sub.length > 4 ? [sub[0]!, ...sub.slice(2)] : given).map(Number)
      const colour = extended(values)
      if (!sub.length) index += values[0] === 5 ? 2 : values[0] === 2 ? 4 : 0
      if (colour === null || code === 58) continue
      look[code === 38 ? 'fg' : 'bg'] = colour
      continue
    }
    one(look, code, sub)
  }
}

function one(look: Look, code: number, sub: string[]): void {
  if (code === 0) Object.assign(look, PLAIN)
  else if (code === 1) look.bold = true
  else if (code === 2) look.dim = true
  else if (code === 3) look.italic = true
  else if (code === 4) look.underline = sub[0] !== '0'
  else if (code === 7) look.inverse = true
  else if (code === 9) look.strike = true
  else if (code === 21) look.underline = true
  else if (code === 22) look.bold = look.dim = false
  else if (code === 23) look.italic = false
  else if (code === 24) look.underline = false
  else if (code === 27) look.inverse = false
  else if (code === 29) look.strike = false
  else if (code >= 30 && code <= 37) look.fg = code - 30
  else if (code === 39) look.fg = null
  else if (code >= 40 && code <= 47) look.bg = code - 40
  else if (code === 49) look.bg = null
  else if (code >= 90 && code <= 97) look.fg = code - 82
  else if (code >= 100 && code <= 107) look.bg = code - 92
  // Blinking (5, 6) and hiding (8) are left out on purpose: a log is to be read.
}

const CUBE = [0, 95, 135, 175, 215, 255]

/** [5, n] of 256 colours or [2, r, g, b]. */
function extended([kind, ...values]: number[]): number | string | null {
  if (values.some((value) => !(value >= 0 && value <= 255))) return null
  if (kind === 2 && values.length >= 3) return hex(values[0]!, values[1]!, values[2]!)
  if (kind !== 5 || !values.length) return null
  const [number] = values as [number]
  if (number < 16) return number
  if (number >= 232) return hex(...([8, 8, 8].map((base) => base + 10 * (number - 232)) as [number, number, number]))
  const cube = number - 16
  return hex(CUBE[Math.floor(cube / 36)]!, CUBE[Math.floor(cube / 6) % 6]!, CUBE[cube % 6]!)
}

function hex(...rgb: [number, number, number]): string {
  return `#${rgb.map((value) => Math.floor(value).toString(16).padStart(2, '0')).join('')}`
}
