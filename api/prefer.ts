/** Longest wait for a job to end within one request, in milliseconds. */
const longestWaitMs = 60_000

/**
 * Reads `Prefer: wait=20` (RFC 7240). A preference that cannot be understood is ignored, one that is too long is clamped.
 *
 * @returns the wait in milliseconds, 0 for none.
 */
export function preferredWaitMs(header: string | string[] | undefined): number {
  const preference = [header ?? []]
    .flat()
    .join(',')
    .split(',')
    .map((part) => part.trim())
    .find((part) => /^wait\s*=/i.test(part))
  const seconds = /^wait\s*=\s*"?(\d{1,15})"?\s*(;|$)/i.exec(preference ?? '')?.[1]
  return seconds === undefined ? 0 : Math.min(Number(seconds) * 1_000, longestWaitMs)
}
