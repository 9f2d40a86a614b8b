/** A wheel's turns as pixels, where the browser cannot scroll by itself. */

import { onBeforeUnmount, watch, type Ref } from 'vue'
import { ROW } from './scroll'

const STEP_FROM = 50 // pixels; turns of a wheel come in large steps, which are eased; fingers in small ones

export function useWheel(element: Ref<HTMLElement | null>, moveBy: (pixels: number) => void, active: () => boolean): void {
  let left = 0
  let frame = 0

  function turned(event: WheelEvent): void {
    if (event.ctrlKey || event.shiftKey || !active() || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return
    event.preventDefault()
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? ROW : event.deltaMode === WheelEvent.DOM_DELTA_PAGE ? 20 * ROW : 1
    const pixels = event.deltaY * unit
    if (Math.sign(pixels) !== Math.sign(left)) left = 0
    left += pixels
    if (Math.abs(pixels) < STEP_FROM && Math.abs(left) < STEP_FROM) step(1)
    else frame ||= requestAnimationFrame(() => step(0.35))
  }

  function step(part: number): void {
    frame = 0
    const now = Math.abs(left) < 4 ? left : left * part
    left -= now
    if (now) moveBy(now)
    if (left) frame = requestAnimationFrame(() => step(0.35))
  }

  watch(element, (now, before) => {
    before?.removeEventListener('wheel', turned)
    now?.addEventListener('wheel', turned, { passive: false })
  })
  onBeforeUnmount(() => {
    cancelAnimationFrame(frame)
    element.value?.removeEventListener('wheel', turned)
  })
}
