import type { Limit } from '@jobyard/queues/limits/limit'
import { fullAfterTaking, tokensAt } from '@jobyard/queues/limits/token-bucket'
import type { TokenStore } from '@jobyard/queues/limits/token-store'
import fc from 'fast-check'
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { LeasedBucket } from './leased-bucket.ts'
import { WatchedStore } from './watched-store.ts'

const silent = pino({ level: 'silent' })
const hour = 3_600_000

/** A clock that is set by hand, and a store that tells time by it. */
function openStage({ takes }: { takes?: TokenStore['take'] } = {}) {
  const clock = { ms: 0 }
  const questions: { least: number; most: number }[] = []
  let fullAt = 0
  const store: TokenStore = {
    take: async (bucket, limit, least, most) => {
      questions.push({ least, most })
      if (takes) return takes(bucket, limit, least, most)
      const there = tokensAt(limit, fullAt, clock.ms)
      const tokens = there >= least ? Math.min(there, most) : 0
      fullAt = fullAfterTaking(limit, fullAt, clock.ms, tokens)
      return { tokens, fullInMs: fullAt - clock.ms }
    },
  }
  const open = (limit: Limit) => {
    const watched = new WatchedStore(store, silent)
    return new LeasedBucket({ name: 'key:a', limit, store: watched, now: () => clock.ms })
  }
  return { clock, questions, open }
}

async function tryToTake(bucket: LeasedBucket, tokens = 1): Promise<boolean> {
  while (bucket.admits(tokens) === undefined) await bucket.prepare(tokens)
  const admitted = bucket.admits(tokens) === true
  if (admitted) bucket.take(tokens)
  return admitted
}

/** Lets background questions be answered. */
const answered = () => new Promise((resolve) => setImmediate(resolve))

const limits = fc.record({
  perMs: fc.integer({ min: 1, max: 1_000_000 }).map((perMinute) => perMinute / 60_000),
  burst: fc.integer({ min: 1, max: 5_000 }),
})
const steps = fc.array(
  fc.record({ process: fc.nat(2), afterMs: fc.nat(300), cost: fc.integer({ min: 1, max: 20 }), times: fc.nat(30) }),
  { minLength: 1, maxLength: 60 },
)

describe('The leases of several processes', () => {
  it('let no more through together than the limit', async () => {
    await fc.assert(
      fc.asyncProperty(limits, steps, async (limit, wishes) => {
        const { clock, open } = openStage()
        const buckets = [open(limit), open(limit), open(limit)]
        let taken = 0
        for (const { process, afterMs, cost, times } of wishes) {
          clock.ms += afterMs
          for (let time = 0; time < times; time++) if (await tryToTake(buckets[process]!, cost)) taken += cost
          expect(taken).toBeLessThanOrEqual(limit.burst + clock.ms * limit.perMs + 0.01)
        }
      }),
      { numRuns: 200 },
    )
  })

  it('let one process through as much as the limit alone, whatever the store says, in any stretch of time', async () => {
    const generous = { takes: async () => ({ tokens: 100_000, fullInMs: 0 }) }
    await fc.assert(
      fc.asyncProperty(limits, steps, fc.boolean(), async (limit, wishes, fails) => {
        const { clock, open } = openStage(fails ? { takes: () => Promise.reject(new Error('away')) } : generous)
        const bucket = open(limit)
        let taken = 0
        for (const { afterMs, cost, times } of wishes) {
          clock.ms += afterMs
          for (let time = 0; time < times; time++) if (await tryToTake(bucket, cost)) taken += cost
          expect(taken).toBeLessThanOrEqual(limit.burst + clock.ms * limit.perMs + 0.01)
        }
      }),
      { numRuns: 100 },
    )
  })

  it('waste less than a few percent while all of them want more', async () => {
    const limit = { perMs: 0.5, burst: 500 }
    const { clock, open } = openStage()
    const buckets = [open(limit), open(limit), open(limit)]
    let taken = 0
    for (; clock.ms < 5_000; clock.ms++) {
      for (const bucket of buckets) if (await tryToTake(bucket)) taken++
      await answered()
    }
    expect(taken).toBeLessThanOrEqual(3_000)
    expect(taken).toBeGreaterThan(2_900)
  })

  it('are exact where the limit is small, whoever is asked', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(2), { minLength: 7, maxLength: 7 }), async (order) => {
        const { open } = openStage()
        const limit = { perMs: 5 / hour, burst: 5 }
        const buckets = [open(limit), open(limit), open(limit)]
        const admitted: boolean[] = []
        for (const process of order) admitted.push(await tryToTake(buckets[process]!))
        expect(admitted).toEqual([true, true, true, true, true, false, false])
      }),
    )
  })
})

describe('A lease', () => {
  it('saves the store nearly every question', async () => {
    const { clock, questions, open } = openStage()
    const bucket = open({ perMs: 100, burst: 100_000 })
    for (let count = 0; count < 10_000; count++) {
      expect(await tryToTake(bucket)).toBe(true)
      if (count % 10 === 0) {
        clock.ms++
        await answered()
      }
    }
    expect(questions.length).toBeLessThan(50)
  })

  it('is asked for ahead: once there is one, nobody waits', async () => {
    const { clock, open } = openStage()
    const bucket = open({ perMs: 1, burst: 1_000 })
    await tryToTake(bucket)
    for (let count = 0; count < 500; count++) {
      await answered()
      expect(bucket.admits(1)).toBe(true)
      bucket.take(1)
      clock.ms++
    }
  })

  it('ends a second after it was last used', async () => {
    const { clock, questions, open } = openStage()
    const bucket = open({ perMs: 1, burst: 1_000 })
    await tryToTake(bucket)
    await answered()
    clock.ms += 999
    expect(bucket.admits(1)).toBe(true)
    clock.ms += 1
    expect(bucket.admits(1)).toBeUndefined()
    expect(bucket.isFull).toBe(true)
    expect(questions.length).toBe(1)
  })

  it('is not asked for again and again when there is nothing', async () => {
    const { clock, questions, open } = openStage()
    const limit = { perMs: 10 / hour, burst: 10 }
    const [one, other] = [open(limit), open(limit)]
    for (let count = 0; count < 10; count++) expect(await tryToTake(one)).toBe(true)
    expect(await tryToTake(other)).toBe(false)
    const before = questions.length
    for (let count = 0; count < 1_000; count++) {
      expect(await tryToTake(other)).toBe(false)
      clock.ms++
    }
    expect(questions.length).toBe(before)
    expect(other.msUntil(1)).toBeCloseTo(hour / 10 - 1_000, -1)
    expect(other.left()).toBe(0)
  })

  it('is asked for fifty times a second at most while there is hardly anything', async () => {
    const { clock, questions, open } = openStage()
    const bucket = open({ perMs: 0.5, burst: 500 })
    for (; clock.ms < 3_000; clock.ms++) {
      await tryToTake(bucket)
      await answered()
      if (clock.ms === 2_000) questions.length = 0
    }
    expect(questions.length).toBeGreaterThan(10)
    expect(questions.length).toBeLessThan(60)
  })

  it('holds one part in twenty of what there is, and leaves the others the rest', async () => {
    const { open } = openStage()
    const limit = { perMs: 1_000 / hour, burst: 1_000 }
    const [one, other] = [open(limit), open(limit)]
    for (let count = 0; count < 200; count++) {
      expect(await tryToTake(one)).toBe(true)
      await answered()
    }
    let left = 0
    while (await tryToTake(other)) left++
    expect(left).toBeGreaterThanOrEqual(750)
    expect(left).toBeLessThanOrEqual(800)
  })

  it('pays what was taken while the store was late', async () => {
    let answer = (_taken: { tokens: number; fullInMs: number }) => {}
    const takes = () => new Promise<{ tokens: number; fullInMs: number }>((resolve) => (answer = resolve))
    const { questions, open } = openStage({ takes })
    const bucket = open({ perMs: 10 / hour, burst: 10 })
    for (let count = 0; count < 3; count++) expect(await tryToTake(bucket)).toBe(true)
    expect(questions).toEqual([{ least: 1, most: 1 }])
    answer({ tokens: 1, fullInMs: hour / 10 })
    await answered()
    void tryToTake(bucket)
    await answered()
    expect(questions[1]).toEqual({ least: 3, most: 3 })
  })

  it('is large enough for everyone who waits, and for one of them at least', async () => {
    const { questions, open } = openStage()
    const bucket = open({ perMs: 10 / hour, burst: 10 })
    expect(await Promise.all([4, 2, 3, 5].map((tokens) => tryToTake(bucket, tokens)))).toEqual([
      true,
      true,
      true,
      false,
    ])
    expect(questions).toEqual([{ least: 2, most: 14 }])
  })
})
