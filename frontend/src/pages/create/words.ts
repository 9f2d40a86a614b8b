/** Values of arguments in the reader's words: full -> 全量微调, true -> 开启; what has no word stays as it is. */

import { useI18n } from 'vue-i18n'
import { textOf } from './arguments'

export function useWords(): (name: string, value: unknown) => string {
  const { t, te } = useI18n()
  return (name, value) => {
    const text = textOf(value)
    for (const path of [`create.choice.${name}.${text}`, `create.choice.any.${text}`]) {
      if (/^\w+$/.test(text) && te(path)) return t(path)
    }
    return text
  }
}
