import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { deliveriesPerSlot, shareOf } from './delivery-share.ts'

const concurrency = 50
const slots = concurrency * deliveriesPerSlot

/** Grants endpoints whose receivers never answer as much as they may have, round by round. */
function hoard(inFlight: readonly number[], rounds: number): number[] {
  let held = [...inFlight]
  for (let round = 0; round < rounds; round++) {
    const total = held.reduce((sum, each) => sum + each, 0)
    const share = shareOf({ concurrency, endpoints: held.length, inFlight: total })
    held = held.map((each) => Math.max(each, share(each)))
  }
  return held
}

describe('The share of an endpoint in the slots', () => {
  it('lets receivers that never answer hold half of the slots, however many they are', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: slots / 2 }), (endpoints) => {
        const held = hoard(Array<number>(endpoints).fill(0), 100)
        expect(held.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(slots / 2)
      }),
    )
  })

  it('has room for whoever comes when others hold all that they may', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: slots / 4 }), fc.integer({ min: 1, max: slots / 4 }), (slow, newcomers) => {
        const before = hoard(Array<number>(slow).fill(0), 100)
        const held = hoard([...before, ...Array<number>(newcomers).fill(0)], 100)
        expect(held.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(slots)
        expect(Math.min(...held)).toBeGreaterThanOrEqual(1)
      }),
    )
  })

  it('is half of the slots for an endpoint alone, and one at least among many', () => {
    expect(shareOf({ concurrency, endpoints: 1, inFlight: 0 })(0)).toBe(slots / 2)
    expect(shareOf({ concurrency, endpoints: 10_000, inFlight: slots })(0)).toBe(1)
  })

  it('is not bounded while no process is known that delivers', () => {
    expect(shareOf({ concurrency: 0, endpoints: 3, inFlight: 9 })(3)).toBe(Infinity)
  })
})
