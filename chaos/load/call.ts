import { adminKey } from '@jobyard/testing/platform'

export interface CallOptions {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly body?: unknown
  readonly headers?: Record<string, string>
  /** Time after which no answer is waited for any more, in milliseconds. */
  readonly withinMs?: number
}

/** Parts of the answers of several calls. */
export interface AnswerBody {
  readonly id?: string
  readonly status?: string | number
  readonly type?: string
  readonly detail?: string
  readonly secret?: string
  readonly key?: string
  readonly items?: readonly { readonly id?: string }[]
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: AnswerBody
  /** Time from the call to its answer. */
  readonly ms: number
}

/**
 * Calls an API once, with the admin key.
 *
 * @param base `http://host:port`; nobody answers where there is none.
 * @returns undefined when no answer came.
 */
export async function call(
  base: string | undefined,
  path: string,
  { method, body, headers = {}, withinMs = 30_000 }: CallOptions = {},
): Promise<Answer | undefined> {
  if (base === undefined) return undefined
  const calledAt = performance.now()
  try {
    const answer = await fetch(new URL(path, base), {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: {
        authorization: `Bearer ${adminKey}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(withinMs),
    })
    const text = await answer.text()
    return {
      status: answer.status,
      headers: answer.headers,
      body: (text === '' ? {} : JSON.parse(text)) as AnswerBody,
      ms: performance.now() - calledAt,
    }
  } catch {
    return undefined
  }
}
