/** What the server says of training arguments: asked for once, whatever page part needs it. */

import { computed, shallowRef } from 'vue'
import { get } from '@/api/client'
import type { Argument } from '@/api/types'
import { language } from '@/i18n'

const schema = shallowRef<Argument[]>([])
let asked: Promise<void> | null = null

export function useSchema() {
  asked ??= get('getTrainingSchema')
    .then((all) => void (schema.value = all))
    .catch(() => void (asked = null)) // next time again; until then names stand for labels
  const byName = computed(() => new Map(schema.value.map((each) => [each.name, each])))

  /** The argument's title in the reader's language. */
  function labelOf(name: string): string {
    const found = byName.value.get(name)
    return found ? (language.value === 'zh' ? found.labelZh : found.labelEn) : name
  }

  return { schema, labelOf }
}
