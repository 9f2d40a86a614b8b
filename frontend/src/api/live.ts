/**
 * Server-Sent Events for a component. Browsers allow six connections a host, so a stream closes
 * while its tab is hidden and goes on, without gap or repeat, when it is seen again.
 *
 *     const { state } = useStream(
 *       () => addressOf('streamTask', { id, lastEventId: task.lastEventId }),
 *       { progress: (data: Progress) => … },
 *     )
 */

import { onScopeDispose, readonly, ref, toValue, watch, type MaybeRefOrGetter, type Ref } from 'vue'
import { get } from './client'
import { inDoubt, notReached, reached } from './connection'

/** `ended`: the server has told all there is. */
export type StreamState = 'connecting' | 'open' | 'paused' | 'ended'

export type StreamHandlers = Record<string, (data: never, id: string) => void>

export interface StreamOptions {
  /** The query's name for where to go on; `offset` for logs. */
  resumeBy?: string
  /** A stream that never ends by itself: asked for again whenever it closes. */
  endless?: boolean
  /** After each (re)connection. */
  opened?: () => void
}

const HIDDEN_FOR = 10_000 // milliseconds; a glance at another tab costs no connection
const WAIT_AT_MOST = 15_000

/** `address` null: no stream. Another address: another stream, from its beginning. */
export function useStream(
  address: MaybeRefOrGetter<string | null>,
  handlers: StreamHandlers,
  options: StreamOptions = {},
): { state: Readonly<Ref<StreamState>>; close: () => void } {
  const state = ref<StreamState>('connecting')
  let source: EventSource | null = null
  let lastId = ''
  let emptyInARow = 0
  let wait = 1000
  let timer: number | undefined

  function open(): void {
    const url = toValue(address)
    shut()
    if (url === null || state.value === 'ended') return
    if (document.hidden) {
      state.value = 'paused'
      return
    }
    state.value = 'connecting'
    let told = false
    const mine = new EventSource(lastId ? goingOn(url) : url)
    source = mine
    mine.onopen = () => {
      state.value = 'open'
      wait = 1000
      reached()
      options.opened?.()
    }
    for (const [name, handle] of Object.entries(handlers)) {
      mine.addEventListener(name, (message: MessageEvent<string> | Event) => {
        // The browser's own `error` carries no data.
        if (source !== mine || !('data' in message) || typeof message.data !== 'string') return
        told = true
        emptyInARow = 0
        if (message.lastEventId) lastId = message.lastEventId
        handle(JSON.parse(message.data) as never, message.lastEventId)
      })
    }
    mine.onerror = (event) => {
      // An event named `error` of the server's arrives here too.
      if (source !== mine || 'data' in event) return
      if (state.value === 'open' && !told && !options.endless && ++emptyInARow > 2) return end()
      told = false
      state.value = 'connecting'
      if (mine.readyState === EventSource.CLOSED) void afterRefusal(mine)
      else inDoubt() // the browser connects again by itself, and says nothing while it cannot
    }
  }

  /** A stream that was refused: it has ended (204), or the server is not itself. */
  async function afterRefusal(refused: EventSource): Promise<void> {
    let answers = true
    try {
      await get('getMe')
    } catch {
      answers = false
    }
    if (source !== refused) return
    if (answers && !options.endless) return end()
    if (!answers) notReached()
    timer = window.setTimeout(open, wait)
    wait = Math.min(wait * 2, WAIT_AT_MOST)
  }

  function goingOn(url: string): string {
    const whole = new URL(url, window.location.href)
    whole.searchParams.set(options.resumeBy ?? 'lastEventId', lastId)
    return whole.pathname + whole.search
  }

  function shut(): void {
    window.clearTimeout(timer)
    source?.close()
    source = null
  }

  function end(): void {
    shut()
    state.value = 'ended'
  }

  function seen(): void {
    window.clearTimeout(timer)
    if (document.hidden) {
      timer = window.setTimeout(() => {
        shut()
        if (state.value !== 'ended') state.value = 'paused'
      }, HIDDEN_FOR)
    } else if (!source || source.readyState === EventSource.CLOSED) {
      open()
    }
  }

  watch(
    () => toValue(address),
    () => {
      lastId = ''
      emptyInARow = 0
      state.value = 'connecting'
      open()
    },
    { immediate: true },
  )
  document.addEventListener('visibilitychange', seen)
  onScopeDispose(() => {
    document.removeEventListener('visibilitychange', seen)
    shut()
  })
  return { state: readonly(state), close: end }
}
