import { adminKey } from './platform.ts'

/** What a test wants of a key; an admin of the tenant `default` when it says nothing. */
export interface WantedKey {
  readonly role?: string
  readonly tenant?: string
  readonly expiresAt?: string
}

/** An answer of the API. */
export interface ApiAnswer {
  readonly status: number
  readonly headers: Headers
  readonly body: any
}

/** Calls an API that listens, with a key or without. */
export async function callWith(
  port: number,
  key: string | undefined,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<ApiAnswer> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: {
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, headers: answer.headers, body: text.startsWith('{') ? JSON.parse(text) : text }
}

/** Makes a key through the API. @returns its id, and the key itself. */
export async function makeKey(port: number, wanted: WantedKey = {}): Promise<{ id: string; key: string }> {
  const answer = await callWith(port, adminKey, 'POST', '/v1/api-keys', { name: 'test', role: 'admin', ...wanted })
  if (answer.status !== 201) throw new Error(`A key was refused: ${JSON.stringify(answer.body)}`)
  return answer.body
}
