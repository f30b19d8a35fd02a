import type { Limit } from './limit.ts'

/*
 * A bucket is one number: the moment when it is full. What is in the past is full, so a bucket that is full again need not be kept.
 * `redis-token-store.ts` has the same arithmetic in Lua. Moments are milliseconds of any one clock; all functions are pure.
 */

/** So much of a token is rounding. */
const rounding = 1e-6

/** @returns whole tokens in the bucket. */
export function tokensAt({ perMs, burst }: Limit, fullAt: number, now: number): number {
  return Math.max(0, Math.min(burst, Math.floor(burst - (fullAt - now) * perMs + rounding)))
}

/** @returns when the bucket is full after so many tokens were taken; one that is not full by what it can hold was filled by a clock set back. */
export function fullAfterTaking({ perMs, burst }: Limit, fullAt: number, now: number, tokens: number): number {
  return Math.min(Math.max(fullAt, now), now + burst / perMs) + tokens / perMs
}

/** @returns time until the bucket holds so many tokens, in milliseconds; until it is full when it never holds as many. */
export function msUntil({ perMs, burst }: Limit, fullAt: number, now: number, tokens: number): number {
  return Math.max(0, fullAt - now - Math.max(0, burst - tokens) / perMs)
}
