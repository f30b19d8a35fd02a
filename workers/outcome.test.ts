import type { ClaimedJob } from '@jobyard/db/claim'
import { defaultRetryPolicy } from '@jobyard/queues/define-job'
import { PermanentError, RetryError, SnoozeError } from '@jobyard/queues/errors'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, outcomeOfThrown, type AttemptOutcome } from './outcome.ts'

const job = (attemptsMade: number, maxAttempts: number): ClaimedJob => ({
  id: 'a',
  tenant: 'default',
  type: 'echo',
  queue: 'default',
  input: {},
  epoch: 4,
  crashes: 0,
  attemptsMade,
  maxAttempts,
  timeoutMs: 1_000,
  waitedMs: 0,
})
const failed: AttemptOutcome = { outcome: 'failed', permanent: false, error: { reason: 'error', message: 'no' } }

describe('What a job becomes', () => {
  it.each<[string, AttemptOutcome, number, object]>([
    ['completed', { outcome: 'completed', output: '1' }, 0, { status: 'completed', output: '1' }],
    ['failed, attempts left', failed, 0, { status: 'retrying', delayMs: 1_000 }],
    ['failed, the last but one', failed, 1, { status: 'retrying', delayMs: 2_000 }],
    ['failed, the last', failed, 2, { status: 'failed', error: { reason: 'error', message: 'no' } }],
    ['failed for good', { ...failed, permanent: true }, 0, { status: 'failed' }],
    ['failed, with a wish for the wait', { ...failed, delayMs: 7 }, 0, { status: 'retrying', delayMs: 7 }],
    ['timed out, attempts left', { outcome: 'timed_out' }, 0, { status: 'retrying', error: { reason: 'timed_out' } }],
    ['timed out, the last', { outcome: 'timed_out' }, 2, { status: 'failed', error: { reason: 'timed_out' } }],
    ['cancelled', { outcome: 'cancelled' }, 0, { status: 'cancelled' }],
    ['snoozed, even at the last', { outcome: 'snoozed', delayMs: 7 }, 2, { status: 'retrying', delayMs: 7 }],
  ])('%s', (_what, ended, attemptsMade, expected) => {
    const settlement = decide(job(attemptsMade, 3), ended, defaultRetryPolicy, 0.5)
    expect(settlement).toMatchObject({ id: 'a', epoch: 4, outcome: ended.outcome, ...expected })
  })

  it('is retried as often as there are attempts, and no more', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), (maxAttempts) => {
        let attempts = 0
        while (decide(job(attempts, maxAttempts), failed, defaultRetryPolicy).status === 'retrying') attempts++
        expect(attempts + 1).toBe(maxAttempts)
      }),
    )
  })
})

describe('What a handler threw', () => {
  it('is told apart', () => {
    expect(outcomeOfThrown(new SnoozeError(5))).toEqual({ outcome: 'snoozed', delayMs: 5 })
    expect(outcomeOfThrown(new SnoozeError(5, 'the shop is closed'))).toEqual({
      outcome: 'snoozed',
      delayMs: 5,
      error: { reason: 'snoozed', message: 'the shop is closed' },
    })
    expect(outcomeOfThrown(new PermanentError('x', 'gone'))).toEqual({
      outcome: 'failed',
      permanent: true,
      error: { reason: 'gone', message: 'x' },
    })
    expect(outcomeOfThrown(new Error('x'))).toEqual({
      outcome: 'failed',
      permanent: false,
      error: { reason: 'error', message: 'x' },
    })
    expect(outcomeOfThrown(null)).toMatchObject({ error: { message: 'The handler threw null' } })
  })

  it('may tell more: a detail, and the wait that it wishes for', () => {
    const detail = { status: 503 }
    expect(outcomeOfThrown(new RetryError('x', { reason: 'busy', detail, delayMs: 7 }))).toEqual({
      outcome: 'failed',
      permanent: false,
      error: { reason: 'busy', message: 'x', detail },
      delayMs: 7,
    })
    expect(outcomeOfThrown(new RetryError('x'))).toEqual({
      outcome: 'failed',
      permanent: false,
      error: { reason: 'error', message: 'x' },
    })
    expect(outcomeOfThrown(new PermanentError('x', 'gone', { detail }))).toMatchObject({ error: { detail } })
    expect(outcomeOfThrown(new RetryError('x', { delayMs: -1 }))).toMatchObject({ delayMs: 0 })
  })

  it.each<[string, unknown]>([
    ['no JSON', 1n],
    [
      'a cycle',
      Object.assign([], {
        get 0() {
          return this
        },
      }),
    ],
    ['too long', 'x'.repeat(10_000)],
    [
      'what throws',
      {
        toJSON: () => {
          throw new Error('no')
        },
      },
    ],
  ])('has no detail that is %s', (_what, detail) => {
    expect(outcomeOfThrown(new PermanentError('x', 'gone', { detail }))).toMatchObject({
      error: { reason: 'gone', message: 'x' },
    })
    expect(outcomeOfThrown(new RetryError('x', { detail, delayMs: Number.NaN }))).toEqual({
      outcome: 'failed',
      permanent: false,
      error: { reason: 'error', message: 'x' },
    })
  })

  it('never throws itself, and is short', () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true }), (thrown) => {
        const outcome = outcomeOfThrown(thrown)
        expect(outcome.outcome === 'failed' && outcome.error.message.length).toBeLessThanOrEqual(2_001)
      }),
    )
  })
})
