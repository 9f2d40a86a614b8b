import { describe, expect, it } from 'vitest'
import { piecesOf, plainText, type Piece } from '../src/pages/log/ansi'

const E = '\x1b'
const names = (line: string) => piecesOf(line).map(({ text, names: given }) => [text, given])

describe('piecesOf', () => {
  it('leaves a line without escapes as it is', () => {
    expect(piecesOf('loss 1.2  中文\ttab')).toEqual([{ text: 'loss 1.2  中文\ttab', names: '' }])
    expect(piecesOf('')).toEqual([])
  })

  it('keeps markup as text', () => {
    const line = '<img src=x onerror="alert(1)"><script>x</script> &amp; {{ 1 }}'
    expect(piecesOf(`${E}[31m${line}${E}[0m`)).toEqual([{ text: line, names: 'fg1' }])
  })

  it('knows the sixteen colours, and what takes them back', () => {
    expect(names(`${E}[31ma${E}[39mb${E}[92;44mc${E}[49md${E}[me`)).toEqual([
      ['a', 'fg1'],
      ['b', ''],
      ['c', 'fg10 bg4'],
      ['d', 'fg10'],
      ['e', ''],
    ])
    expect(names(`${E}[97;100mx`)).toEqual([['x', 'fg15 bg8']])
  })

  it('knows bold and its kin', () => {
    expect(names(`${E}[1;2;3;4;7;9ma${E}[22;23;24;27;29mb`)).toEqual([
      ['a', 'bold dim italic underline strike inverse'],
      ['b', ''],
    ])
    expect(names(`${E}[4:3ma${E}[4:0mb`)).toEqual([['a', 'underline'], ['b', '']])
  })

  it('hides nothing: concealed and blinking text is plain', () => {
    expect(names(`${E}[8;5msecret`)).toEqual([['secret', '']])
  })

  it('knows 256 and all colours, in both ways of writing', () => {
    const first = (line: string): Piece => piecesOf(line)[0]!
    expect(first(`${E}[38;5;9mx`).names).toBe('fg9')
    expect(first(`${E}[38;5;16mx`).fg).toBe('#000000')
    expect(first(`${E}[38;5;208mx`).fg).toBe('#ff8700')
    expect(first(`${E}[38;5;232mx`).fg).toBe('#080808')
    expect(first(`${E}[48;5;255mx`).bg).toBe('#eeeeee')
    expect(first(`${E}[38;2;1;2;255;1mx`)).toEqual({ text: 'x', names: 'bold fg', fg: '#0102ff' })
    expect(first(`${E}[38:5:208;4mx`)).toEqual({ text: 'x', names: 'underline fg', fg: '#ff8700' })
    expect(first(`${E}[38:2::1:2:3mx`).fg).toBe('#010203')
    expect(first(`${E}[38:2:1:2:3mx`).fg).toBe('#010203')
    // The colour of an underline is read over, with its numbers.
    expect(first(`${E}[58;5;9;1mx`).names).toBe('bold')
  })

  it('does not trust numbers', () => {
    for (const numbers of ['38', '38;5', '38;5;256', '38;2;1;2', '38;2;300;0;0', '38:2', '999', ';;;', '>4;2', '?1']) {
      expect(piecesOf(`${E}[${numbers}mx`).map(({ text }) => text).join('')).toContain('x')
      for (const { names: given, fg } of piecesOf(`${E}[${numbers}mx`)) {
        expect(given).toBe('')
        expect(fg).toBeUndefined()
      }
    }
  })

  it('leaves out what moves the cursor, sets titles or links', () => {
    const line = `${E}[2K${E}[1A${E}[?25l${E}]0;title\x07a${E}]8;;http://evil/${E}\\link${E}]8;;${E}\\${E}(B${E}c${E}7${E}P1$q${E}\\b`
    expect(plainText(line)).toBe('alinkb')
    expect(piecesOf(line).map(({ text }) => text).join('')).toBe('alinkb')
  })

  it('leaves out an escape that the end of the line cuts', () => {
    for (const cut of ['', '[', '[3', '[38;5;', '[?']) expect(plainText(`a${E}${cut}`)).toBe('a')
  })

  it('swallows no text after a sequence that is none, or has no end', () => {
    expect(piecesOf(`${E}[-1mx`).map(({ text }) => text).join('')).toBe('^[[-1mx')
    expect(piecesOf(`a${E}]0;rest of the line`).map(({ text }) => text).join('')).toBe('a^[]0;rest of the line')
  })

  it('shows controls and what turns text round', () => {
    expect(names('a\x00\x07\b\x7f\x9b\u202eb')).toEqual([
      ['a', ''],
      ['^@', 'control'],
      ['^G', 'control'],
      ['^H', 'control'],
      ['^?', 'control'],
      ['U+009B', 'control'],
      ['U+202E', 'control'],
      ['b', ''],
    ])
  })

  it('takes no longer for a line that is made to be slow', () => {
    const start = performance.now()
    for (const part of [`${E}[`, `${E}]`, `${E}P`, `${E}[1;`, `${E} `, '\x00', `${E}[31mx`]) piecesOf(part.repeat(4000))
    expect(performance.now() - start).toBeLessThan(1000)
  })
})
