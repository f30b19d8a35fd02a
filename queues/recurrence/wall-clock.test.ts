import { randomInstant, randomZone } from './random-recurrence.ts'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { WallClock } from './wall-clock.ts'

/** What Intl says that clocks show minus UTC, in milliseconds. */
function offsetByIntl(timeZone: string, atMs: number): number {
  const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
  const name = format.formatToParts(atMs).find(({ type }) => type === 'timeZoneName')?.value ?? ''
  const [, sign, hours = '0', minutes = '0', seconds = '0'] = /GMT(?:([+-])(\d+):(\d+)(?::(\d+))?)?/.exec(name) ?? []
  return (sign === '-' ? -1 : 1) * ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000
}

it('knows what Intl knows: the distance at an instant, at both ends of its stretch and just outside', () => {
  fc.assert(
    fc.property(randomZone, randomInstant, (timeZone, instant) => {
      const at = instant.getTime()
      const { startMs, endMs, offsetMs, offsetBeforeMs } = WallClock.of(timeZone).stretchAt(at)
      expect(startMs).toBeLessThanOrEqual(at)
      expect(endMs).toBeGreaterThan(at)
      expect(offsetByIntl(timeZone, at)).toBe(offsetMs)
      if (startMs > 0) {
        expect(offsetByIntl(timeZone, startMs)).toBe(offsetMs)
        expect(offsetByIntl(timeZone, startMs - 1)).toBe(offsetBeforeMs)
      }
      if (endMs < Infinity) {
        expect(offsetByIntl(timeZone, endMs - 1)).toBe(offsetMs)
        expect(offsetByIntl(timeZone, endMs)).not.toBe(offsetMs)
      }
    }),
    { numRuns: 300 },
  )
})

it('says the same of a stretch whichever instant in it was asked for first', () => {
  const asked = (zone: string, instants: string[]) => instants.map((at) => WallClock.of(zone).stretchAt(Date.parse(at)))
  const summer = asked('Europe/Rome', ['2026-03-29T01:00:00Z', '2026-07-01', '2026-10-25T00:59:59.999Z'])
  const winter = asked('Europe/Rome', ['2026-10-25T01:00:00Z', '2026-03-29T00:59:59.999Z'])
  expect(new Set(summer).size).toBe(1)
  expect(summer[0]).toEqual({
    startMs: Date.parse('2026-03-29T01:00:00Z'),
    endMs: Date.parse('2026-10-25T01:00:00Z'),
    offsetMs: 7_200_000,
    offsetBeforeMs: 3_600_000,
  })
  expect(winter.map(({ offsetMs, offsetBeforeMs }) => [offsetMs, offsetBeforeMs])).toEqual([
    [3_600_000, 7_200_000],
    [3_600_000, 7_200_000],
  ])
})

it('answers rightly after more stretches than it remembers', () => {
  const clock = WallClock.of('Europe/Madrid')
  const offsets = Array.from({ length: 300 }, (_, k) => [
    clock.stretchAt(Date.UTC(2000 + k, 0, 1)).offsetMs,
    clock.stretchAt(Date.UTC(2000 + k, 6, 1)).offsetMs,
  ])
  expect(offsets).toEqual(offsets.map(() => [3_600_000, 7_200_000]))
})
