/** The language of the console: Chinese unless the reader chose, or the browser prefers, English. */

import { readonly, ref } from 'vue'
import { createI18n } from 'vue-i18n'
import { keep, kept } from './storage'

export type Language = 'zh' | 'en'
const LANGUAGES: readonly Language[] = ['zh', 'en']

export const i18n = createI18n({ legacy: false, locale: 'zh', fallbackLocale: false, messages: {} })

const chosen = ref<Language>(first())
export const language = readonly(chosen)

const catalogues = {
  zh: () => import('./messages/zh.json'),
  en: () => import('./messages/en.json'),
}

/** Load the texts of `wanted` and show them. */
export async function setLanguage(wanted: Language): Promise<void> {
  const texts = (await catalogues[wanted]()).default
  i18n.global.setLocaleMessage(wanted, texts)
  i18n.global.locale.value = wanted as never
  chosen.value = wanted
  document.documentElement.lang = wanted === 'zh' ? 'zh-CN' : 'en'
}

/** The same, and remember it. */
export async function chooseLanguage(wanted: Language): Promise<void> {
  await setLanguage(wanted)
  keep('language', wanted)
}

function first(): Language {
  const before = kept('language')
  if (before === 'zh' || before === 'en') return before
  for (const tag of navigator.languages ?? []) {
    const found = LANGUAGES.find((each) => tag.toLowerCase().startsWith(each))
    if (found) return found
  }
  return 'zh'
}
