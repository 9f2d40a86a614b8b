/** Which tasks are compared, as the address holds them. Pure. */

import type { LocationQueryValue } from 'vue-router'

export const AT_LEAST = 2
export const AT_MOST = 8 // as many as there are colours that can be told apart

/** "3,1,3,x" -> [3, 1] */
export function idsOf(value: LocationQueryValue | LocationQueryValue[] | undefined): number[] {
  const text = [value].flat().join(',')
  const ids = text.split(',').map(Number).filter((id) => Number.isSafeInteger(id) && id > 0)
  return [...new Set(ids)].slice(0, AT_MOST)
}
