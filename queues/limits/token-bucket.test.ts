import fc from 'fast-check'
import { expect, it } from 'vitest'
import { fullAfterTaking, msUntil, tokensAt } from './token-bucket.ts'

const limits = fc.record({
  perMs: fc.integer({ min: 1, max: 100_000 }).map((perMinute) => perMinute / 60_000),
  burst: fc.integer({ min: 1, max: 5_000 }),
})
const steps = fc.array(fc.record({ afterMs: fc.nat(2_000), wanted: fc.integer({ min: 1, max: 500 }) }), {
  minLength: 1,
})

it('gives in any time no more than its burst and what came back meanwhile', () => {
  fc.assert(
    fc.property(limits, steps, fc.nat(1e9), (limit, wishes, start) => {
      let [fullAt, now] = [0, start]
      const given: { at: number; tokens: number }[] = []
      for (const { afterMs, wanted } of wishes) {
        now += afterMs
        const tokens = Math.min(wanted, tokensAt(limit, fullAt, now))
        fullAt = fullAfterTaking(limit, fullAt, now, tokens)
        given.push({ at: now, tokens })
        for (let from = 0, sum = 0; from < given.length; from++) {
          sum = given.slice(from).reduce((all, each) => all + each.tokens, 0)
          expect(sum).toBeLessThanOrEqual(limit.burst + (now - (given[from]?.at ?? 0)) * limit.perMs + 0.01)
        }
      }
    }),
    { numRuns: 50 },
  )
})

it('gives all that came back to who takes all there is', () => {
  fc.assert(
    fc.property(limits, steps, (limit, wishes) => {
      let [fullAt, now, taken] = [0, 0, 0]
      const pause = (limit.burst - 1) / limit.perMs // never full, so nothing is wasted
      for (const { afterMs } of wishes) {
        const tokens = tokensAt(limit, fullAt, now)
        fullAt = fullAfterTaking(limit, fullAt, now, tokens)
        taken += tokens
        now += Math.min(afterMs, pause)
      }
      taken += tokensAt(limit, fullAt, now)
      expect(taken).toBeGreaterThan(limit.burst + now * limit.perMs - 1.01)
    }),
  )
})

it('holds so many tokens after the time until then, and not a millisecond before', () => {
  fc.assert(
    fc.property(limits, fc.integer({ min: 1, max: 5_000 }), (limit, wanted) => {
      const fullAt = fullAfterTaking(limit, 0, 0, limit.burst)
      const ms = msUntil(limit, fullAt, 0, wanted)
      const there = Math.min(wanted, limit.burst)
      expect(tokensAt(limit, fullAt, ms)).toBe(there)
      expect(tokensAt(limit, fullAt, ms - 1.01 / limit.perMs)).toBeLessThan(there)
    }),
  )
})

it('is empty at worst after its clock was set back', () => {
  const limit = { perMs: 1, burst: 10 }
  const fullAt = fullAfterTaking(limit, 1_000_000, 0, 0)
  expect([tokensAt(limit, fullAt, 0), tokensAt(limit, fullAt, 10)]).toEqual([0, 10])
})
