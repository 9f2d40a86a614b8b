/** Whether the server answers. Calls and streams tell; the frame shows a banner and asks again. */

import { readonly, ref } from 'vue'

const ASK_EVERY = 3000 // milliseconds

const lost = ref(false)
let timer: number | undefined

/** True while the server cannot be reached. */
export const connectionLost = readonly(lost)

export function reached(): void {
  lost.value = false
  window.clearTimeout(timer)
  timer = undefined
}

export function notReached(): void {
  lost.value = true
  timer ??= window.setTimeout(() => void ask(), ASK_EVERY)
}

/** A stream broke off: the server closed it, or is gone. */
export function inDoubt(): void {
  if (timer === undefined) void ask()
}

async function ask(): Promise<void> {
  timer = undefined
  try {
    // A proxy in front may answer for a server that is gone: only its own answer counts.
    if ((await fetch('/health', { cache: 'no-store' })).ok) return reached()
  } catch {
    // Still away.
  }
  notReached()
}
