/** Longest wait that a receiver may ask for, in milliseconds. */
const longestMs = 86_400_000

/**
 * Reads a Retry-After header: seconds, or a date (RFC 9110, section 10.2.3).
 *
 * @param now milliseconds since 1970.
 * @returns the wait in milliseconds, from 0 to a day; undefined when there is none, or it cannot be read.
 */
export function retryAfterMs(header: string | undefined, now: number = Date.now()): number | undefined {
  const text = header?.trim()
  if (!text) return undefined
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), longestMs)
}
