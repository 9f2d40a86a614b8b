/** Where in a log the lines stand that show a failure. Pure. */

/**
 * The number of the line, from 0, at which `wanted` begins in `lines`, the first of which is number
 * `first`; null where they are not. The last such place: an error may have happened before.
 */
export function placeOf(wanted: readonly string[], lines: readonly string[], first: number): number | null {
  // Of a long traceback only the ends are told, with "..." between.
  const cut = wanted.indexOf('...')
  const begin = (cut > 0 ? wanted.slice(0, cut) : wanted).map((line) => line.trimEnd())
  if (!begin.some(Boolean)) return null
  for (let place = lines.length - begin.length; place >= 0; place -= 1) {
    if (begin.every((line, index) => lines[place + index]!.trimEnd() === line)) return first + place
  }
  return null
}
