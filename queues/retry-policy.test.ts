import fc from 'fast-check'
import { expect, it } from 'vitest'
import { defaultRetryPolicy } from './define-job.ts'
import { retryDelayMs } from './retry-policy.ts'

const middle = 0.5

it.each([
  [1, 1_000],
  [2, 2_000],
  [5, 16_000],
  [11, 600_000],
  [100, 600_000],
])('waits after attempt %i for %i ms, less or more by the jitter', (attempt, delayMs) => {
  expect(retryDelayMs(defaultRetryPolicy, attempt, middle)).toBe(delayMs)
})

it.each([
  [1, 5],
  [2, 300],
  [3, 7_200],
  [9, 7_200],
])('waits after attempt %i by the list of the policy, whose last wait repeats', (attempt, delayMs) => {
  expect(retryDelayMs({ ...defaultRetryPolicy, delaysMs: [5, 300, 7_200] }, attempt, middle)).toBe(delayMs)
})

it('stays within the jitter of the bounds', () => {
  const policy = fc.record({
    maxAttempts: fc.constant(5),
    initialDelayMs: fc.integer({ min: 1, max: 10_000 }),
    maxDelayMs: fc.integer({ min: 10_000, max: 1_000_000 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  fc.assert(
    fc.property(
      policy,
      fc.integer({ min: 1, max: 1_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (each, attempt, random) => {
        const delay = retryDelayMs(each, attempt, random)
        expect(Number.isInteger(delay)).toBe(true)
        expect(delay).toBeGreaterThanOrEqual(Math.floor(each.initialDelayMs * (1 - each.jitter)))
        expect(delay).toBeLessThanOrEqual(Math.ceil(each.maxDelayMs * (1 + each.jitter)))
      },
    ),
  )
})
