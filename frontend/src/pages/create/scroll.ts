/** Brings a field into sight. Fields carry `data-field`, named as the API names them. */

import { nextTick } from 'vue'

export async function goTo(field: string): Promise<void> {
  await nextTick()
  const place = document.querySelector<HTMLElement>(`[data-field="${CSS.escape(field)}"]`)
  if (!place) return
  const still = window.matchMedia('(prefers-reduced-motion: reduce)').matches
  place.scrollIntoView({ block: 'center', behavior: still ? 'auto' : 'smooth' })
  place.querySelector<HTMLElement>('input, textarea, button, [tabindex="0"]')?.focus({ preventScroll: true })
}
