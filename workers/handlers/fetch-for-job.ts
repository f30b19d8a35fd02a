import { EgressProxyError } from '@jobyard/outbound/egress-proxy'
import {
  ForbiddenAddressError,
  type GuardedFetch,
  type GuardedRequest,
  type GuardedResponse,
} from '@jobyard/outbound/guarded-fetch'
import { PermanentError } from '@jobyard/queues/errors'
import { egressOutage } from './outage.ts'

/** Answers that say "not now": https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9, 425 in RFC 8470, 429 in RFC 6585. */
const retriedStatuses = new Set([408, 425, 429])
const excerptLength = 200

/**
 * Requests a URL on behalf of a job, and turns what went wrong into what the job makes of it.
 *
 * @returns the answer if its status is 2xx.
 * @throws PermanentError with reason `url_not_allowed` or `http_status` where another attempt would end the same;
 *   SnoozeError while the egress proxy is away; an ordinary error for 408, 425, 429, 5xx, time-outs and broken connections.
 */
export async function fetchForJob(
  guardedFetch: GuardedFetch,
  url: string,
  request: GuardedRequest,
): Promise<GuardedResponse> {
  const response = await guardedFetch(url, request).catch((error: unknown) => {
    if (error instanceof EgressProxyError) throw egressOutage.snooze(error.message)
    throw error instanceof ForbiddenAddressError
      ? new PermanentError(error.message, 'url_not_allowed', { cause: error })
      : error
  })
  egressOutage.end()
  const { status } = response
  if (status >= 200 && status < 300) return response
  const message = `${new URL(url).host} answered ${status}${explanation(response)}`
  if (status >= 500 || retriedStatuses.has(status)) throw new Error(message)
  throw new PermanentError(message, 'http_status')
}

function explanation({ status, headers, bytes }: GuardedResponse): string {
  if (status >= 300 && status < 400) return `; redirects are not followed (to ${headers['location'] ?? 'nowhere'})`
  const start = bytes.subarray(0, excerptLength * 4).toString()
  const excerpt = start
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, excerptLength)
  return excerpt === '' ? '' : `: ${excerpt.toWellFormed()}`
}
