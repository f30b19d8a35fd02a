import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Outage } from './outage.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

it('An outage has jobs wait about half as long as it has lasted, within bounds, and the next one begins anew', () => {
  const outage = new Outage()
  const waitAfter = (minutes: number) => {
    vi.advanceTimersByTime(minutes * 60_000)
    return outage.snooze('away').delayMs / 60_000
  }
  const waits = [waitAfter(0), waitAfter(4), waitAfter(6), waitAfter(600)]
  outage.end()
  waits.push(waitAfter(1))
  for (const [index, least] of [0.5, 2, 5, 10, 0.5].entries()) {
    expect(waits[index]).toBeGreaterThanOrEqual(least)
    expect(waits[index]).toBeLessThanOrEqual(least * 1.5)
  }
})
