import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Outage } from './outage.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

function expectAbout(waitMs: number, leastMs: number): void {
  expect(waitMs).toBeGreaterThanOrEqual(leastMs)
  expect(waitMs).toBeLessThanOrEqual(leastMs * 1.5)
}

it('An outage has those who try again and again wait half as long as it has lasted, ten minutes at most', () => {
  const outage = new Outage()
  const startedAt = performance.now()
  let tries = 0
  while (performance.now() - startedAt < 86_400_000) {
    const lastedMs = performance.now() - startedAt
    const { delayMs } = outage.snooze('away')
    expectAbout(delayMs, Math.min(Math.max(lastedMs / 2, 2_000), 600_000))
    vi.advanceTimersByTime(delayMs)
    tries++
  }
  expect(tries).toBeLessThan(170)
})

it('An outage begins anew after something has answered, or when nobody has met it for long', () => {
  const outage = new Outage()
  const lastFor = (ms: number) => {
    outage.snooze('away')
    vi.advanceTimersByTime(3_900)
    outage.snooze('away')
    vi.advanceTimersByTime(ms)
  }
  lastFor(3_900)
  expectAbout(outage.snooze('away').delayMs, 3_900)
  outage.end()
  expectAbout(outage.snooze('away').delayMs, 2_000)
  outage.end()
  lastFor(86_400_000)
  expectAbout(outage.snooze('away').delayMs, 2_000)
})
