/**
 * Calls of the API: the envelope's data comes back, anything else is thrown as an ApiError whose
 * message is the server's own sentence.
 *
 *     const task = await get('getTask', { id: 7 })
 *     await post('createTask', { body: request })
 *     await del('deleteTask', { id: 7 })
 */

import { i18n, language } from '@/i18n'
import { notReached, reached } from './connection'
import type { Body, Call, Data, Query } from './types'

export interface FieldError {
  /** As the API names it, e.g. `trainingArgs.lora_r`. */
  field: string
  message: string
}

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0: the server could not be reached. */
    readonly status: number,
    message: string,
    readonly errors: FieldError[] = [],
    readonly data: unknown = null,
  ) {
    super(message)
    this.name = 'ApiError'
  }
}

export function get<N extends Call>(name: N, query?: Query<N>, signal?: AbortSignal): Promise<Data<N>> {
  return call('GET', name, { query, signal })
}

export function post<N extends Call>(
  name: N,
  given: { body?: Body<N>; query?: Query<N>; signal?: AbortSignal } = {},
): Promise<Data<N>> {
  return call('POST', name, given)
}

export function del<N extends Call>(name: N, query?: Query<N>): Promise<Data<N>> {
  return call('DELETE', name, { query })
}

/** The address of a stream or a download: these carry the language in the query. */
export function addressOf(name: Call, query: object = {}): string {
  return `/finetuning/${name}${queryText({ ...query, lang: language.value })}`
}

/** True for the error of a request that was aborted: nothing to show. */
export function aborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}

let signedOut: () => void = () => {}

/** Say what happens when the server no longer knows who asks. */
export function whenSignedOut(then: () => void): void {
  signedOut = then
}

async function call<N extends Call>(
  method: string,
  name: N,
  given: { query?: unknown; body?: unknown; signal?: AbortSignal },
): Promise<Data<N>> {
  const headers: Record<string, string> = { 'Accept-Language': language.value }
  if (given.body !== undefined) headers['Content-Type'] = 'application/json'
  let response: Response
  try {
    response = await fetch(`/finetuning/${name}${queryText(given.query as object)}`, {
      method,
      headers,
      body: given.body === undefined ? undefined : JSON.stringify(given.body),
      signal: given.signal,
      credentials: 'same-origin',
      cache: 'no-store',
    })
  } catch (error) {
    if (aborted(error)) throw error
    notReached()
    throw new ApiError(0, i18n.global.t('common.unreachable'))
  }
  const envelope = await envelopeOf(response)
  if (!envelope) {
    // Not ours: a proxy that answers for a server that is gone.
    if (response.status >= 502) notReached()
    throw new ApiError(response.status, i18n.global.t('common.unreadable', { status: response.status }))
  }
  reached()
  if (response.ok && envelope.code === 0) return envelope.data as Data<N>
  if (response.status === 401 && name !== 'signIn') signedOut()
  throw new ApiError(response.status, envelope.msg, fieldErrors(envelope.data), envelope.data)
}

async function envelopeOf(response: Response): Promise<{ code: number; data: unknown; msg: string } | null> {
  try {
    const body = (await response.json()) as { code: number; data: unknown; msg: string } | null
    return body && typeof body.code === 'number' ? body : null
  } catch (error) {
    if (aborted(error)) throw error
    return null
  }
}

function fieldErrors(data: unknown): FieldError[] {
  const errors = (data as { errors?: unknown } | null)?.errors
  return Array.isArray(errors) ? (errors as FieldError[]) : []
}

/** Undefined, null and "" are left out; lists are joined by commas. */
function queryText(query: object | undefined): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === null || value === '') continue
    given.set(name, Array.isArray(value) ? value.join(',') : String(value))
  }
  const text = given.toString()
  return text && `?${text}`
}
