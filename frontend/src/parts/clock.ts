/** A second hand for all components that count: one timer, and none while nobody looks. */

import { onScopeDispose, readonly, ref, type Ref } from 'vue'

const now = ref(Date.now())
let watchers = 0
let timer: number | undefined

/** The time in milliseconds, new each second while the component lives. */
export function useNow(): Readonly<Ref<number>> {
  watchers += 1
  now.value = Date.now()
  timer ??= window.setInterval(() => {
    if (!document.hidden) now.value = Date.now()
  }, 1000)
  onScopeDispose(() => {
    watchers -= 1
    if (watchers === 0) {
      window.clearInterval(timer)
      timer = undefined
    }
  })
  return readonly(now)
}
