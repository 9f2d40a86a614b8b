/**
 * Asks again whenever the question changes, after a pause, one question at a time; an answer to an older
 * question is dropped. Until the new answer is there the last one stays, so that nothing flickers.
 *
 *     const { answer, error, busy } = useLatest(() => body.value, (body) => post('checkTask', { body }))
 */

import { computed, onScopeDispose, ref, shallowRef, watch, type Ref, type ShallowRef } from 'vue'
import { language } from '@/i18n'

export interface Latest<Answer> {
  answer: ShallowRef<Answer | null>
  error: ShallowRef<unknown>
  /** Whether what is shown is not yet of the present question. */
  busy: Ref<boolean>
}

/** `question` null: nothing to ask, nothing to show. */
export function useLatest<Question, Answer>(
  question: () => Question | null,
  ask: (question: Question) => Promise<Answer>,
  wait = 500,
): Latest<Answer> {
  const answer = shallowRef<Answer | null>(null)
  const error = shallowRef<unknown>(null)
  const busy = ref(false)
  // Sentences come in the reader's language.
  const key = computed(() => JSON.stringify([language.value, question()]))
  let timer: number | undefined
  let running = false
  let gone = false

  async function run(): Promise<void> {
    if (running || gone) return
    const asked = question()
    const mine = key.value
    if (asked === null) {
      answer.value = null
      error.value = null
      busy.value = false
      return
    }
    running = true
    try {
      const found = await ask(asked)
      if (key.value === mine) {
        answer.value = found
        error.value = null
      }
    } catch (thrown) {
      if (key.value === mine) {
        answer.value = null
        error.value = thrown
      }
    }
    running = false
    if (key.value === mine) busy.value = false
    else later()
  }

  function later(): void {
    window.clearTimeout(timer)
    timer = window.setTimeout(() => void run(), wait)
  }

  watch(
    key,
    () => {
      busy.value = true
      later()
    },
    { immediate: true },
  )
  onScopeDispose(() => {
    gone = true
    window.clearTimeout(timer)
  })
  return { answer, error, busy }
}
