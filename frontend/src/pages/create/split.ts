/** `split` as shares in percent and back. Pure. */

export interface Shares {
  train: string
  validation: string
  test: string
}

/** {train: 0.8, validation: 0.15, test: 0.05}, or "0.8,0.15,0.05" -> percent; null where nothing is divided. */
export function sharesOf(split: unknown): Shares | null {
  if (typeof split === 'string' && split) {
    const [train = '', validation = '', test = ''] = split.split(',')
    return { train: percent(train), validation: percent(validation), test: percent(test) }
  }
  if (typeof split !== 'object' || split === null) return null
  const { train, validation, test } = split as Record<string, unknown>
  return { train: percent(train), validation: percent(validation), test: percent(test) }
}

/** Percent -> what the API takes. A share that is no number is sent as it is: the server refuses it. */
export function splitOf(shares: Shares): Record<string, unknown> {
  return Object.fromEntries(Object.entries(shares).map(([name, text]) => [name, part(text)]))
}

function percent(value: unknown): string {
  if (value === undefined || value === '') return ''
  const number = Number(value)
  // 0.15 * 100 is 15.000000000000002.
  return Number.isFinite(number) ? String(Number((number * 100).toPrecision(10))) : String(value)
}

function part(text: string): unknown {
  const plain = text.trim()
  if (!plain) return 0
  const number = Number(plain)
  return Number.isFinite(number) ? Number((number / 100).toPrecision(10)) : plain
}
