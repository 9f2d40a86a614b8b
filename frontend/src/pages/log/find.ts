/** What the reader types and presses to find something in a log. */

import { computed, onBeforeUnmount, ref, watch } from 'vue'
import { finderOf } from './marks'
import { useSearch } from './search'

const AFTER_TYPING = 350 // milliseconds

/** `near`: the line at which the reader is. */
export function useFinding(id: number, near: () => number) {
  const query = ref('')
  const ignoreCase = ref(true)
  const search = useSearch(id, near)
  const finder = computed(() => finderOf(search.query.value, ignoreCase.value))
  /** The line of the hit that is shown. */
  const hit = computed(() => search.hits.value[search.current.value]?.line ?? null)

  let typing: number | undefined
  watch([query, ignoreCase], ([now], [before]) => {
    window.clearTimeout(typing)
    if (now) typing = window.setTimeout(lookFor, AFTER_TYPING)
    else if (before && search.kind.value === 'text') search.end()
  })
  onBeforeUnmount(() => window.clearTimeout(typing))

  function lookFor(): void {
    window.clearTimeout(typing)
    void search.begin({ query: query.value, kind: 'text', ignoreCase: ignoreCase.value })
  }

  /** To the next hit (1) or the last (-1). */
  function step(by: 1 | -1): void {
    if (query.value && query.value !== search.query.value) return lookFor()
    const { hits, current, next, running } = search
    const count = hits.value.length
    const to = current.value + by
    if (!count || (to >= count && running.value)) return
    // Beyond the hits that are kept: those after them take their place.
    if (to >= count && next.value !== null) void search.goOn(next.value, true)
    else current.value = (to + count) % count
  }

  function firstError(): void {
    query.value = ''
    void search.begin({ query: '', kind: 'error', ignoreCase: false })
  }

  function close(): void {
    query.value = ''
    search.end()
  }

  return { query, ignoreCase, search, finder, hit, step, firstError, close }
}
