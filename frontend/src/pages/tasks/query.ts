/** What the list shows, as its address holds it. Pure. */

import type { LocationQuery, LocationQueryRaw } from 'vue-router'
import { STATUSES, type Query, type Status } from '@/api/types'

export const SIZES = [10, 20, 50, 100]
const SIZE = 20

/** What the server can order by, among what the list shows. */
export const SORT_KEYS = ['ID', 'name', 'baseModel', 'status', 'progress', 'startedAt'] as const
export type SortKey = (typeof SORT_KEYS)[number]

export interface ListQuery {
  page: number
  size: number
  status: Status | null
  /** A part of the name. */
  name: string
  /** A part of the base model. */
  model: string
  sort: SortKey
  desc: boolean
}

export const FIRST: ListQuery = { page: 1, size: SIZE, status: null, name: '', model: '', sort: 'ID', desc: true }

/** Anything that is not understood counts as not given. */
export function fromAddress(query: LocationQuery): ListQuery {
  const text = (name: string) => {
    const value = query[name]
    return (Array.isArray(value) ? value[0] : value) ?? ''
  }
  const sort = text('sort').replace(/^-/, '')
  const known = SORT_KEYS.find((key) => key === sort)
  const page = Number(text('page'))
  return {
    page: Number.isSafeInteger(page) && page > 0 ? page : 1,
    size: SIZES.find((size) => String(size) === text('size')) ?? SIZE,
    status: STATUSES.find((status) => status === text('status')) ?? null,
    name: text('name'),
    model: text('model'),
    sort: known ?? FIRST.sort,
    desc: known ? text('sort').startsWith('-') : FIRST.desc,
  }
}

/** Only what differs from the first sight of the list. */
export function toAddress(query: ListQuery): LocationQueryRaw {
  const sorted = query.sort !== FIRST.sort || query.desc !== FIRST.desc
  const given: Record<string, string | false> = {
    status: query.status ?? false,
    name: query.name,
    model: query.model,
    sort: sorted && `${query.desc ? '-' : ''}${query.sort}`,
    page: query.page > 1 && String(query.page),
    size: query.size !== SIZE && String(query.size),
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value)) as LocationQueryRaw
}

export function toCall(query: ListQuery): Query<'getTaskList'> {
  return {
    page: query.page,
    pageSize: query.size,
    status: query.status,
    name: query.name.trim(),
    baseModel: query.model,
    orderKey: query.sort,
    desc: query.desc,
  }
}

export function filtered(query: ListQuery): boolean {
  return query.status !== null || query.name.trim() !== '' || query.model !== ''
}

/** Another order: the same column turns it round; times and numbers begin with the largest. */
export function sortedBy(query: ListQuery, key: SortKey): ListQuery {
  const desc = query.sort === key ? !query.desc : key === 'ID' || key === 'progress' || key === 'startedAt'
  return { ...query, sort: key, desc, page: 1 }
}
