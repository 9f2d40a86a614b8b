/**
 * A search of a task's log, by the server. It looks at a part of a large log at a time: the hits come in as they
 * are found, and a search that is no longer wanted ends after the part it is at.
 */

import { computed, onScopeDispose, ref, shallowRef, type Ref } from 'vue'
import { aborted, get } from '@/api/client'
import type { LogMatches } from '@/api/types'

export type Hit = LogMatches['matches'][number]

const A_TIME = 1000
/** Hits that are kept; who has more of them looks for too little. */
export const HITS_AT_MOST = 10_000

export interface Search {
  /** What is looked for; "" and kind `text`: nothing. */
  query: Readonly<Ref<string>>
  kind: Readonly<Ref<'text' | 'error'>>
  hits: Readonly<Ref<readonly Hit[]>>
  /** The hit that is shown, -1 for none. */
  current: Ref<number>
  /** Lines that have been looked at; null: all. */
  next: Readonly<Ref<number | null>>
  /** On its way. */
  running: Readonly<Ref<boolean>>
  error: Readonly<Ref<unknown>>
  /** Begin; resolves when all was looked at, or enough was found. */
  begin: (wanted: { query: string; kind: 'text' | 'error'; ignoreCase: boolean }) => Promise<void>
  /** Look on after the hits there are; `anew` lets go of them. */
  goOn: (from: number, anew?: boolean) => Promise<void>
  end: () => void
}

/** `near`: the line at which the reader is; the first hit from there on is shown first. */
export function useSearch(id: number, near: () => number): Search {
  const query = ref('')
  const kind = ref<'text' | 'error'>('text')
  const ignoreCase = ref(true)
  const hits = shallowRef<readonly Hit[]>([])
  const current = ref(-1)
  const next = ref<number | null>(null)
  const running = ref(false)
  const error = shallowRef<unknown>(null)
  let asking: AbortController | null = null

  async function begin(wanted: { query: string; kind: 'text' | 'error'; ignoreCase: boolean }): Promise<void> {
    end()
    query.value = wanted.query
    kind.value = wanted.kind
    ignoreCase.value = wanted.ignoreCase
    if (wanted.query || wanted.kind === 'error') await goOn(0, true)
  }

  async function goOn(from: number, anew = false): Promise<void> {
    asking?.abort()
    const mine = (asking = new AbortController())
    if (anew) {
      hits.value = []
      current.value = -1
    }
    const start = kind.value === 'error' ? 0 : near()
    const kept = anew ? 0 : hits.value.length
    let line: number | null = from
    running.value = true
    error.value = null
    try {
      while (line !== null && hits.value.length - kept < HITS_AT_MOST) {
        const found: LogMatches = await get(
          'searchTaskLog',
          { id, query: query.value, kind: kind.value, ignoreCase: ignoreCase.value, from: line, limit: A_TIME },
          mine.signal,
        )
        if (mine.signal.aborted) return
        if (found.matches.length) hits.value = [...hits.value, ...found.matches]
        next.value = line = found.next
        // Shown at once, before the rest of a large log has been looked at.
        if (current.value < 0) choose(start)
      }
      if (current.value < 0 && hits.value.length) current.value = 0
    } catch (problem) {
      if (!aborted(problem)) error.value = problem
    } finally {
      if (asking === mine) running.value = false
    }
  }

  function choose(start: number): void {
    const first = hits.value.findIndex((hit) => hit.line >= start)
    if (first >= 0) current.value = first
  }

  function end(): void {
    asking?.abort()
    asking = null
    running.value = false
    query.value = ''
    kind.value = 'text'
    hits.value = []
    current.value = -1
    next.value = null
    error.value = null
  }

  onScopeDispose(end)
  return {
    query: computed(() => query.value),
    kind: computed(() => kind.value),
    hits: computed(() => hits.value),
    current,
    next: computed(() => next.value),
    running: computed(() => running.value),
    error: computed(() => error.value),
    begin,
    goOn,
    end,
  }
}
