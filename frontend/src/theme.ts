/** Light or dark: the reader's choice, else the system's. */

import { computed, ref, watchEffect } from 'vue'
import { keep, kept } from './storage'

export type Theme = 'system' | 'light' | 'dark'

const system = window.matchMedia('(prefers-color-scheme: dark)')
const systemDark = ref(system.matches)
system.addEventListener('change', (event) => (systemDark.value = event.matches))

function first(): Theme {
  const before = kept('theme')
  return before === 'light' || before === 'dark' ? before : 'system'
}

export const theme = ref<Theme>(first())

/** True while the page is dark. Charts watch it: a canvas knows no CSS. */
export const dark = computed(() => theme.value === 'dark' || (theme.value === 'system' && systemDark.value))

export function chooseTheme(wanted: Theme): void {
  theme.value = wanted
  keep('theme', wanted)
}

// Before anything is painted; `flush: sync` so that charts read the colours of the new theme.
watchEffect(
  () => {
    document.documentElement.classList.toggle('dark', dark.value)
    document.documentElement.style.colorScheme = dark.value ? 'dark' : 'light'
  },
  { flush: 'sync' },
)
