/**
 * Fetches something again and again, for a page that stays open all day: never twice at the same
 * time, not while its tab is hidden, and no faster than the server answers.
 *
 *     const { soon, error } = useRefresh(async (signal) => { … }, () => (running.value ? 5000 : null))
 */

import { onScopeDispose, readonly, ref, watch, type Ref } from 'vue'
import { connectionLost } from '@/api/connection'
import { aborted } from '@/api/client'

const AFTER_FAILURE = 5000 // milliseconds
const GAP = 1000 // between the end of a fetch and the next that an event asks for

export interface Refresh {
  /** At once; what is under way is given up (the question has changed). */
  now: () => Promise<void>
  /** When there was a gap since the last one: for events, which may come in crowds. */
  soon: () => void
  /** Why the last fetch failed; null when it did not. */
  error: Readonly<Ref<unknown>>
  /** The question has changed and is not answered yet. */
  loading: Readonly<Ref<boolean>>
}

/** `every`: milliseconds until the next fetch when nobody asks for one; null: none. */
export function useRefresh(fetch: (signal: AbortSignal) => Promise<void>, every: () => number | null): Refresh {
  const error = ref<unknown>(null)
  const loading = ref(false)
  let mine: AbortController | null = null
  let again = false
  let due = false // while the tab was hidden
  let took = 0
  let ended = 0
  let timer: number | undefined
  let gone = false

  async function run(): Promise<void> {
    window.clearTimeout(timer)
    timer = undefined
    mine?.abort()
    const asked = (mine = new AbortController())
    again = false
    due = false
    const start = performance.now()
    try {
      await fetch(asked.signal)
      if (mine !== asked) return
      error.value = null
    } catch (thrown) {
      if (mine !== asked || aborted(thrown)) return
      error.value = thrown
    }
    mine = null
    loading.value = false
    ended = performance.now()
    took = ended - start
    if (gone) return
    const wait = error.value ? AFTER_FAILURE : every()
    if (again) soon()
    else if (wait !== null) plan(wait)
  }

  function plan(wait: number): void {
    window.clearTimeout(timer)
    timer = window.setTimeout(() => {
      timer = undefined
      if (document.hidden) due = true
      else void run()
    }, wait)
  }

  function soon(): void {
    if (mine) again = true
    // A server that is slow to answer is asked less often.
    else plan(Math.max(0, ended + Math.max(GAP, 3 * took) - performance.now()))
  }

  function now(): Promise<void> {
    loading.value = true
    return run()
  }

  function seen(): void {
    if (!document.hidden && due) void run()
  }

  document.addEventListener('visibilitychange', seen)
  const unwatch = watch(connectionLost, (lost) => {
    if (!lost && error.value) void run()
  })
  onScopeDispose(() => {
    gone = true
    mine?.abort()
    window.clearTimeout(timer)
    unwatch()
    document.removeEventListener('visibilitychange', seen)
  })
  void now()
  return { now, soon, error: readonly(error), loading: readonly(loading) }
}
