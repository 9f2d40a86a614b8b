/** The reader's choices (language, theme), kept in the browser where it lets us. */

export function kept(key: string): string | null {
  try {
    return localStorage.getItem(`tunesmith-${key}`)
  } catch {
    return null // storage is switched off
  }
}

export function keep(key: string, value: string): void {
  try {
    localStorage.setItem(`tunesmith-${key}`, value)
  } catch {
    // Then the choice lasts as long as the page.
  }
}
