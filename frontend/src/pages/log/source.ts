/**
 * The log of a task by its lines: those that a reader looks at are asked for, and while the task runs its end is
 * asked for again and again.
 *
 * Asked for, not streamed: a stream sends all that is written, to a reader who sees fifty lines of it, and tells
 * nothing of a progress bar, which writes no line's end. An answer of readTaskLog is the end as a terminal shows
 * it now, however much was written since.
 */

import { computed, onScopeDispose, ref, shallowRef, type Ref } from 'vue'
import { aborted, ApiError, get } from '@/api/client'
import type { LogPage } from '@/api/types'
import { useRefresh } from '@/parts/refresh'
import { Lines } from './lines'

const CHARS_AT_MOST = 8_000_000
const ASKED_AT_ONCE = 1000 // lines
const BUSY = 400 // milliseconds to the next look at a log that has just grown
const QUIET = 1500

export interface Log {
  /** Lines there are, an unfinished last one among them. */
  total: Readonly<Ref<number>>
  size: Readonly<Ref<number>>
  attempt: Readonly<Ref<number>>
  /** The task has ended. */
  complete: Readonly<Ref<boolean>>
  /** The first answer is here. */
  loaded: Readonly<Ref<boolean>>
  /** There is no such task; it may have been deleted while its log was read. */
  missing: Readonly<Ref<boolean>>
  /** Why nothing (more) comes. */
  error: Readonly<Ref<unknown>>
  /** Changes whenever lines do. */
  version: Readonly<Ref<number>>
  line: (number: number) => string | undefined
  /** Say which lines are looked at: `first` (included) to `end` (not). */
  look: (first: number, end: number) => void
  /** Lines for copying, whether looked at or not. */
  read: (first: number, end: number) => Promise<string[]>
  retry: () => void
}

/** `tail`: how many of the last lines are shown now; 0 while the end is not looked at. */
export function useLog(id: number, tail: () => number): Log {
  const total = ref(0)
  const size = ref(0)
  const attempt = ref(0)
  const complete = ref(false)
  const loaded = ref(false)
  const missing = ref(false)
  const problem = shallowRef<unknown>(null)
  const version = ref(0)
  const lines = new Lines(CHARS_AT_MOST)
  let whole = 0
  let grew = false
  let filling: AbortController | null = null
  let wanted: { first: number; end: number } | null = null

  /** `newest`: the answer of the only one who asks for the end, so none is newer. */
  function take(page: LogPage, newest: boolean): void {
    const older = page.attempt < attempt.value || (page.attempt === attempt.value && page.size < size.value)
    if (older && !newest) {
      // A slow answer: what was whole then is still so.
      if (page.attempt === attempt.value) lines.put(page.first, page.lines.slice(0, Math.max(0, page.whole - page.first)))
    } else {
      // Another attempt has a log of its own.
      if (older || page.attempt !== attempt.value) lines.clear()
      else if (page.size !== size.value) lines.drop(whole)
      lines.put(page.first, page.lines)
      total.value = page.total
      size.value = page.size
      attempt.value = page.attempt
      complete.value = page.complete
      whole = page.whole
    }
    loaded.value = true
    problem.value = null
    version.value += 1
  }

  async function askForEnd(signal: AbortSignal): Promise<void> {
    const before = size.value
    const count = Math.min(Math.max(1, tail()), ASKED_AT_ONCE)
    try {
      take(await get('readTaskLog', { id, line: -count, lines: count }, signal), true)
    } catch (thrown) {
      if (!(thrown instanceof ApiError && thrown.status === 404)) throw thrown
      missing.value = true
      return
    }
    grew = size.value !== before
    if (!filling) void fill()
  }

  function look(first: number, end: number): void {
    wanted = { first, end }
    lines.use(first, end)
    if (!filling) void fill()
  }

  /** One question at a time, and always for what is looked at then: who scrolls fast leaves none behind. */
  async function fill(): Promise<void> {
    const mine = (filling = new AbortController())
    try {
      for (;;) {
        const gap = wanted && lines.missing(wanted.first, Math.min(wanted.end, total.value), ASKED_AT_ONCE)
        if (!gap) return
        const page = await get('readTaskLog', { id, line: gap.first, lines: gap.count }, mine.signal)
        if (mine.signal.aborted) return
        take(page, false)
        // The lines are not there (any more): the next look at the end tells.
        if (lines.missing(gap.first, Math.min(gap.first + 1, total.value), 1)) return
      }
    } catch (thrown) {
      if (!aborted(thrown) && !mine.signal.aborted) problem.value = thrown
    } finally {
      if (filling === mine) filling = null
    }
  }

  async function read(first: number, end: number): Promise<string[]> {
    const found: string[] = []
    let line = first
    while (line < end) {
      const here = lines.get(line)
      if (here !== undefined) {
        found.push(here)
        line += 1
        continue
      }
      const page = await get('readTaskLog', { id, line, lines: Math.min(ASKED_AT_ONCE, end - line) })
      if (!page.lines.length) break
      found.push(...page.lines)
      line += page.lines.length
    }
    return found
  }

  function retry(): void {
    problem.value = null
    void end.now()
  }

  const end = useRefresh(askForEnd, () => (complete.value || missing.value ? null : grew ? BUSY : QUIET))
  onScopeDispose(() => filling?.abort())
  return {
    total: computed(() => total.value),
    size: computed(() => size.value),
    attempt: computed(() => attempt.value),
    complete: computed(() => complete.value),
    loaded: computed(() => loaded.value),
    missing: computed(() => missing.value),
    error: computed(() => end.error.value ?? problem.value),
    version: computed(() => version.value),
    line: (number) => lines.get(number),
    look,
    read,
    retry,
  }
}
