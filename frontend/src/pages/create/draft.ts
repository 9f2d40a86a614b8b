/** What was typed and not sent, kept while the tab lives: a reload loses nothing. */

import type { Marks } from './change'
import type { TaskForm } from './form'

export interface Draft {
  form: TaskForm
  marks: Marks
}

const VERSION = 1

/** `of`: what the form began with, e.g. `from=3`; each beginning has a draft of its own. */
const nameOf = (of: string) => `tunesmith-create-${VERSION}-${of}`

export function readDraft(of: string): Draft | null {
  try {
    const text = sessionStorage.getItem(nameOf(of))
    return text ? (JSON.parse(text) as Draft) : null
  } catch {
    return null // storage is switched off, or holds what is none of ours
  }
}

export function keepDraft(of: string, draft: Draft): void {
  try {
    sessionStorage.setItem(nameOf(of), JSON.stringify(draft))
  } catch {
    // Then it lasts as long as the page.
  }
}

export function dropDraft(of: string): void {
  try {
    sessionStorage.removeItem(nameOf(of))
  } catch {
    // Nothing was kept.
  }
}
