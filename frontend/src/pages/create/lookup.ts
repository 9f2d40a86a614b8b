/** What the server knows, asked once a page and language: `const { data, error, again } = useLookup(() => get('getModelList'))`. */

import { shallowRef, watch, type ShallowRef } from 'vue'
import { language } from '@/i18n'

export interface Lookup<Answer> {
  data: ShallowRef<Answer | null>
  error: ShallowRef<unknown>
  again: () => Promise<void>
}

export function useLookup<Answer>(ask: () => Promise<Answer>): Lookup<Answer> {
  const data = shallowRef<Answer | null>(null)
  const error = shallowRef<unknown>(null)
  let asked = 0

  async function again(): Promise<void> {
    const mine = ++asked
    try {
      const answer = await ask()
      if (mine !== asked) return
      data.value = answer
      error.value = null
    } catch (thrown) {
      if (mine === asked) error.value = thrown
    }
  }

  watch(language, () => void again(), { immediate: true })
  return { data, error, again }
}
