/** The value of a training argument, as a reader finds it in a list. Pure. */

/** A value in a few characters; `words` are the reader's for yes, no and nothing. */
export function valueText(value: unknown, words: { yes: string; no: string; none: string }): string {
  if (value === null || value === undefined || value === '') return words.none
  if (typeof value === 'boolean') return value ? words.yes : words.no
  if (typeof value === 'number') return numberText(value)
  if (Array.isArray(value)) return value.map((each) => valueText(each, words)).join(', ')
  if (typeof value === 'object') {
    return Object.entries(value).map(([name, each]) => `${name} ${valueText(each, words)}`).join(', ')
  }
  return String(value)
}

/** As people write it in a configuration: 0.0002 as 2e-4. */
function numberText(value: number): string {
  if (value === 0 || Math.abs(value) >= 1e-3) return String(value)
  return value.toExponential().replace('e+', 'e')
}
