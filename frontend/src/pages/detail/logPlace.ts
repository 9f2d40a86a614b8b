/** Where in a log the lines stand that show a failure. Pure. */

/**
 * The number of the line, from 0, at which `wanted` begins in `lines`, the first of which is number
 * `first`; null where they are not. The last place counts: an error may have happened before.
 */
export function placeOf(wanted: readonly string[], lines: readonly string[], first: number): number | null {
  const begin = wanted.find((line) => line.trim())
  if (begin === undefined) return null
  for (let place = lines.length - 1; place >= 0; place -= 1) {
    if (lines[place]!.trim() === begin.trim()) return first + place
  }
  return null
}
