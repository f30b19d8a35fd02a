import type { RetryPolicy } from './define-job.ts'

/**
 * Exponential back-off: doubles from the policy's initial delay up to its maximum, or goes by the policy's list; then is spread evenly
 * by ± jitter.
 *
 * @param attempt number of the attempt that failed, from 1.
 * @param random uniform in [0, 1).
 * @returns wait in whole milliseconds.
 */
export function retryDelayMs(policy: RetryPolicy, attempt: number, random: number = Math.random()): number {
  const delay =
    policy.delaysMs?.[Math.min(attempt, policy.delaysMs.length) - 1] ??
    Math.min(policy.initialDelayMs * 2 ** (attempt - 1), policy.maxDelayMs)
  return Math.round(delay * (1 + policy.jitter * (2 * random - 1)))
}
