import { randomCron, randomInstant, randomZone, transitionAfter, type Transition } from './random-recurrence.ts'
import { CronExpressionParser } from 'cron-parser'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { openRecurrence } from './recurrence.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const everyRunOfADay = 1_441

/** cron-parser loses its way, or all later runs, where clocks move by anything but an hour, or not at a full one. */
const movesByAnHour = ({ shiftMs, clock }: Transition) => Math.abs(shiftMs) === hourMs && clock.endsWith(':00:00')

/** Where clocks go back to midnight, cron-parser takes the second for the start of the day. */
const beginsADayAgain = ({ shiftMs, clock }: Transition) => shiftMs < 0 && clock === '00:00:00'

const neverFires = (cron: string) => {
  try {
    openRecurrence({ cron })
    return false
  } catch {
    return true
  }
}
const firingCron = randomCron.filter((cron) => !neverFires(cron))

function ours(cron: string, timeZone: string, from: number, to: number, count: number): number[] {
  const runs = openRecurrence({ cron, timeZone }).take(new Date(from), count)
  return runs.map(({ at }) => at.getTime()).filter((atMs) => atMs <= to)
}

function theirs(cron: string, tz: string, from: number, to: number, count: number): number[] {
  const runs = CronExpressionParser.parse(cron, { tz, currentDate: new Date(from), endDate: new Date(to) }).take(count)
  return runs.map((run) => run.getTime()).filter((atMs) => atMs <= to)
}

const text = (instants: readonly number[]) => instants.map((atMs) => new Date(atMs).toISOString())

it('fires when cron-parser says, where no clock is moved', () => {
  fc.assert(
    fc.property(firingCron, randomZone, randomInstant, (cron, timeZone, near) => {
      const before = transitionAfter(timeZone, near)
      const from = (before?.atMs ?? near.getTime()) + 2 * dayMs
      const end = transitionAfter(timeZone, new Date(from))?.atMs ?? Infinity
      const to = Math.min(end - 2 * dayMs, from + 800 * dayMs)
      fc.pre(to > from)
      expect(text(ours(cron, timeZone, from, to, 25))).toEqual(text(theirs(cron, timeZone, from, to, 25)))
    }),
    { numRuns: 200 },
  )
})

it('fires when cron-parser says, where an hour is repeated', () => {
  fc.assert(
    fc.property(firingCron, randomZone, randomInstant, (cron, timeZone, near) => {
      const transition = transitionAfter(timeZone, near)
      fc.pre(transition !== undefined && movesByAnHour(transition) && transition.shiftMs < 0)
      fc.pre(!beginsADayAgain(transition))
      const [from, to] = [transition.atMs - dayMs / 2, transition.atMs + dayMs / 2]
      expect(text(ours(cron, timeZone, from, to, everyRunOfADay))).toEqual(
        text(theirs(cron, timeZone, from, to, everyRunOfADay)),
      )
    }),
    { numRuns: 200 },
  )
})

it('fires when cron-parser says around a gap of an hour, but for the hour after it, which cron-parser takes for the skipped one', () => {
  fc.assert(
    fc.property(firingCron, randomZone, randomInstant, (cron, timeZone, near) => {
      const transition = transitionAfter(timeZone, near)
      fc.pre(transition !== undefined && movesByAnHour(transition) && transition.shiftMs > 0)
      const { atMs } = transition
      const [from, to] = [atMs - dayMs / 2, atMs + dayMs / 2]
      const isInHourAfter = (instant: number) => instant >= atMs && instant < atMs + hourMs
      const our = ours(cron, timeZone, from, to, everyRunOfADay)
      const their = theirs(cron, timeZone, from, to, everyRunOfADay)
      const outside = (instants: number[]) => text(instants.filter((each) => !isInHourAfter(each)))
      expect(outside(our)).toEqual(outside(their))
      const minutes = CronExpressionParser.parse(cron, { tz: 'UTC' }).fields.minute.values as number[]
      const allOfHour = text(minutes.map((minute) => atMs + minute * 60_000))
      const regular = text(our.filter((each) => isInHourAfter(each) && isRegular(cron, timeZone, each)))
      expect([allOfHour, regular]).toContainEqual(text(their.filter(isInHourAfter)))
    }),
    { numRuns: 200 },
  )
})

function isRegular(cron: string, timeZone: string, atMs: number): boolean {
  const dropping = openRecurrence({ cron, timeZone, skipped: 'drop' }).next(new Date(atMs - 1))
  return dropping?.at.getTime() === atMs
}
