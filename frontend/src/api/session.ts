/** Who is signed in. The cookie is the browser's own: nothing about it is kept here. */

import { readonly, ref } from 'vue'
import { ApiError, get, post } from './client'
import type { Me } from './types'

const known = ref<Me | null>(null)

/** Null until the server has said who asks. */
export const me = readonly(known)

/** True when signed in; asks the server unless it is known. Throws when the server is away. */
export async function signedIn(): Promise<boolean> {
  if (known.value) return true
  try {
    known.value = await get('getMe')
    return true
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return false
    throw error
  }
}

export async function signIn(token: string): Promise<void> {
  known.value = await post('signIn', { body: { token } })
}

export async function signOut(): Promise<void> {
  await post('signOut')
  known.value = null
}

export function forget(): void {
  known.value = null
}
