/**
 * Which lines of a log are drawn, and where. The truth is a place in the log (a line, and pixels below its top);
 * the scrollbar only follows it, or leads where the browser scrolls by itself.
 *
 * The lines lie in a layer that sticks to the view, so nothing runs away from them while they are drawn.
 */

import { computed, nextTick, onBeforeUnmount, ref, shallowRef, watch, type Ref } from 'vue'
import { barLength, barOf, exact, positionOf, ROW } from './scroll'
import { useWheel } from './wheel'

interface Place {
  line: number
  px: number
}

export interface ViewportParts {
  /** What scrolls. */
  scroller: Ref<HTMLElement | null>
  /** What holds the drawn lines; each has a `data-line`. */
  block: Ref<HTMLElement | null>
  total: () => number
  wrapped: () => boolean
  /** Changes when the text of lines does. */
  version: () => number
}

export function useViewport(parts: ViewportParts) {
  const { scroller, block, total, wrapped } = parts
  const place = shallowRef<Place>({ line: 0, px: 0 })
  /** The view ends with the last line, and goes on doing so. */
  const atEnd = ref(true)
  const height = ref(600)
  /** Lines that are (partly) in view, from 0, the last one not included. */
  const seen = shallowRef({ first: 0, end: 0 })
  /** Width that the widest line so far takes: the bar below must not jump. */
  const width = ref(0)
  let drawnFrom = 0 // pixels of the block above the view
  let end = 0 // the position, in lines, of a view that ends with the last line
  let bar = 0 // where this code has set the scrollbar
  let byReader = false // the last change of place was a reader's

  const rows = computed(() => Math.ceil(height.value / ROW) + 1)
  const drawn = computed(() => {
    // Wrapped lines above are drawn too: how tall they are is known only then.
    const spare = wrapped() ? rows.value : 2
    if (atEnd.value) return { first: Math.max(0, total() - rows.value - spare), end: total() }
    const { line } = place.value
    const first = Math.max(0, Math.min(line, total() - rows.value) - spare)
    return { first, end: Math.min(total(), line + rows.value + spare) }
  })
  const length = computed(() => barLength(total(), height.value))

  const rowOf = (line: number) => block.value?.querySelector<HTMLElement>(`:scope > [data-line="${line}"]`) ?? null
  const topOf = (line: number) => (wrapped() ? rowOf(line)?.offsetTop : undefined) ?? (line - drawn.value.first) * ROW
  const heightOf = (line: number) => (wrapped() ? rowOf(line)?.offsetHeight : undefined) ?? ROW
  const blockHeight = () =>
    drawn.value.end > drawn.value.first ? topOf(drawn.value.end - 1) + heightOf(drawn.value.end - 1) : 0

  /** The line at `y` pixels of the block; beyond the block by its usual height. */
  function placeAt(y: number): Place {
    const { first, end: stop } = drawn.value
    const all = blockHeight()
    let found: Place
    if (y < 0) found = { line: first + Math.floor(y / ROW), px: y - Math.floor(y / ROW) * ROW }
    else if (y >= all) found = { line: stop + Math.floor((y - all) / ROW), px: (y - all) % ROW }
    else {
      let line = first
      let after = stop
      while (after - line > 1) {
        const middle = (line + after) >> 1
        if (topOf(middle) <= y) line = middle
        else after = middle
      }
      found = { line, px: y - topOf(line) }
    }
    if (found.line < 0) return { line: 0, px: 0 }
    return found.line >= total() ? { line: Math.max(0, total() - 1), px: 0 } : found
  }

  /** Put the drawn lines where they belong; runs after each drawing, before it is seen. */
  function settle(): void {
    const [view, lines] = [scroller.value, block.value]
    if (!view || !lines) return
    const all = blockHeight()
    const lowest = Math.max(0, all - height.value)
    const complete = drawn.value.end === total()
    let y = lowest
    if (!atEnd.value) {
      const line = Math.min(place.value.line, Math.max(0, total() - 1))
      y = topOf(line) + Math.min(place.value.px, heightOf(line))
      if (complete && y >= lowest - 1) {
        y = lowest
        if (byReader) atEnd.value = true
      }
    }
    drawnFrom = y
    lines.style.transform = `translateY(${-y}px)`
    const top = placeAt(y)
    if (atEnd.value && (place.value.line !== top.line || place.value.px !== top.px)) place.value = top
    if (complete && y === lowest) end = top.line + top.px / heightOf(top.line)
    const last = placeAt(Math.max(0, Math.min(all, y + height.value) - 1))
    if (seen.value.first !== top.line || seen.value.end !== last.line + 1) {
      seen.value = { first: top.line, end: all ? last.line + 1 : 0 }
    }
    if (!wrapped()) width.value = Math.max(width.value, lines.offsetWidth)
    setBar(view, top.line + top.px / heightOf(top.line))
  }

  function setBar(view: HTMLElement, position: number): void {
    const range = view.scrollHeight - view.clientHeight
    const wanted = atEnd.value ? range : barOf(position, end, range)
    // Where it stands now may be further than the last event told: the next one will tell that.
    if (Math.abs(bar - wanted) < 1.5) return
    view.scrollTop = wanted
    bar = view.scrollTop
  }

  function scrolled(): void {
    const view = scroller.value
    if (!view || Math.abs(view.scrollTop - bar) < 1.5) return
    bar = view.scrollTop
    const range = view.scrollHeight - view.clientHeight
    if (bar >= range - 1) {
      atEnd.value = true
      return
    }
    const position = positionOf(bar, end, range)
    const line = Math.floor(position)
    go({ line, px: (position - line) * heightOf(line) })
  }

  function go(to: Place): void {
    byReader = true
    atEnd.value = false
    place.value = to
  }

  function moveBy(pixels: number): void {
    if (atEnd.value && pixels > 0) return
    go(placeAt(drawnFrom + pixels))
  }

  /** Show `line` a third down the view, unless it is well within it, or `anyway`. */
  async function show(line: number, anyway = false): Promise<void> {
    const { first, end: stop } = seen.value
    if (!anyway && line > first + 1 && line < stop - 2) return hold()
    const above = Math.floor(height.value / ROW / 3)
    byReader = false
    atEnd.value = false
    place.value = { line: Math.max(0, line - (wrapped() ? 0 : above)), px: 0 }
    if (!wrapped()) return
    await nextTick()
    go(placeAt(drawnFrom - above * ROW))
  }

  function toEnd(): void {
    atEnd.value = true
  }

  /** Stay at what is shown, though more comes. */
  function hold(): void {
    byReader = false
    atEnd.value = false
  }

  function key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== scroller.value) return
    const page = height.value - 2 * ROW
    const moves: Record<string, () => void> = {
      ArrowUp: () => moveBy(-ROW),
      ArrowDown: () => moveBy(ROW),
      PageUp: () => moveBy(-page),
      PageDown: () => moveBy(page),
      ' ': () => moveBy(event.shiftKey ? -page : page),
      Home: () => go({ line: 0, px: 0 }),
      End: toEnd,
    }
    const move = moves[event.key]
    if (!move) return
    event.preventDefault()
    move()
  }

  useWheel(scroller, moveBy, () => !exact(total(), wrapped()))

  const observer = new ResizeObserver(() => {
    if (scroller.value) height.value = scroller.value.clientHeight
    width.value = 0
    void nextTick(settle)
  })
  watch(scroller, (now, before) => {
    if (before) observer.unobserve(before)
    if (!now) return
    height.value = now.clientHeight
    observer.observe(now)
  })
  onBeforeUnmount(() => observer.disconnect())

  // As long as no end has been seen, all lines are as tall as one.
  watch([total, height, wrapped], ([now], [before]) => {
    if (wrapped() && end > 0 && now > before) end += now - before
    else end = Math.max(0, total() - height.value / ROW)
  })
  watch(wrapped, () => (width.value = 0))
  watch([drawn, place, atEnd, height, parts.version, wrapped], settle, { flush: 'post' })

  return { drawn, seen, length, width, height, atEnd, place, scrolled, key, show, toEnd, hold, moveBy }
}
