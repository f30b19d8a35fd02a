import { randomInstant, randomRule, surroundings, transitionAfter } from './random-recurrence.ts'
import { CronExpressionParser } from 'cron-parser'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { openRecurrence, RecurrenceError, type Occurrence, type Recurrence, type RecurrenceRule } from './recurrence.ts'

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs

/** Leaves the run out if the rule never fires, as random ones may. */
function open(rule: RecurrenceRule): Recurrence {
  try {
    return openRecurrence(rule)
  } catch (error) {
    fc.pre(!(error instanceof RecurrenceError && error.message.includes('never fires')))
    throw error
  }
}

function between(recurrence: Recurrence, from: Date, to: Date): Occurrence[] {
  const found: Occurrence[] = []
  for (let next = recurrence.next(from); next && next.at <= to; next = recurrence.next(next.at)) found.push(next)
  return found
}

/** What a clock on the wall shows, as the instant at which one of UTC would show it. */
function wallClockOf(timeZone: string): (atMs: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  return (atMs) => {
    const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]))
    const { year = 0, month = 0, day, hour, minute, second } = parts
    return Date.UTC(year, month - 1, day, hour, minute, second)
  }
}

/**
 * The rule said in another way: looks at the clock on the wall minute by minute, remembers what it has shown, and fires by that. Whether a
 * wall time is one of the expression is for cron-parser to say, in UTC, where no clock is moved.
 */
function watchTheClock(rule: RecurrenceRule & { cron: string; timeZone: string }, from: Date, to: Date): Occurrence[] {
  const expression = CronExpressionParser.parse(rule.cron, { tz: 'UTC' })
  const isOfRule = (wallMs: number) => expression.includesDate(new Date(wallMs))
  const takesEveryHour = expression.fields.hour.values.length === 24
  const firesTwice = rule.repeated === 'twice' || (rule.repeated !== 'once' && takesEveryHour)
  const wallClock = wallClockOf(rule.timeZone)
  const shown = new Set<number>()
  const fired: Occurrence[] = []
  let expectedMs = wallClock(from.getTime())
  for (let atMs = from.getTime(); atMs <= to.getTime(); atMs += minuteMs) {
    const wallMs = wallClock(atMs)
    const skipped = Array.from(
      { length: Math.max(0, wallMs - expectedMs) / minuteMs },
      (_, k) => expectedMs + k * minuteMs,
    )
    const isRepeated = shown.has(wallMs)
    if (isOfRule(wallMs) && (!isRepeated || firesTwice))
      fired.push({ at: new Date(atMs), ...(isRepeated && { remark: 'repeated' }) })
    else if (rule.skipped !== 'drop' && skipped.some(isOfRule)) fired.push({ at: new Date(atMs), remark: 'moved' })
    shown.add(wallMs)
    expectedMs = wallMs + minuteMs
  }
  return fired
}

it('fires around a change of clocks as one who watches the clock on the wall', () => {
  fc.assert(
    fc.property(randomRule, randomInstant, (rule, near) => {
      const transition = transitionAfter(rule.timeZone, near)
      fc.pre(transition !== undefined)
      const { from, to } = surroundings(transition)
      const fired = between(open(rule), from, to)
      expect(fired).toEqual(watchTheClock(rule, from, to).filter(({ at }) => at > from))
    }),
    { numRuns: 150 },
  )
})

it('goes on strictly, always after, and takes what it gives one by one', () => {
  fc.assert(
    fc.property(randomRule, randomInstant, (rule, after) => {
      const recurrence = open(rule)
      const taken = recurrence.take(after, 20)
      const instants = [after, ...taken.map(({ at }) => at)]
      for (const [index, at] of instants.slice(1).entries())
        expect(at.getTime()).toBeGreaterThan(instants[index]!.getTime())
      expect(taken).toEqual(instants.slice(0, taken.length).map((each) => recurrence.next(each)))
      expect(instants.at(-1)).not.toBe(after)
    }),
    { numRuns: 150 },
  )
})

const randomInterval = fc.record({
  everyMs: fc.integer({ min: 1_000, max: 3 * dayMs }),
  anchor: fc.option(randomInstant, { nil: undefined }),
})

it('has missed what it would have given, wherever one looks from', () => {
  const rules: fc.Arbitrary<RecurrenceRule> = fc.oneof(randomRule, randomInterval)
  const windowMs = fc.integer({ min: 0, max: 3 * dayMs })
  fc.assert(
    fc.property(rules, randomInstant, windowMs, fc.nat(50), (rule, near, lengthMs, limit) => {
      const recurrence = open(rule)
      const transition = rule.timeZone === undefined ? undefined : transitionAfter(rule.timeZone, near)
      const after = transition ? new Date(transition.atMs - lengthMs / 2) : near
      const through = new Date(after.getTime() + lengthMs)
      const given = between(recurrence, after, through)
      const { occurrences, count } = recurrence.missed(after, through, limit)
      expect(occurrences).toEqual(limit === 0 ? [] : given.slice(-limit))
      expect(count).toBe(given.length)
    }),
    { numRuns: 100 },
  )
})

it('gives between start and end what it gives without them', () => {
  fc.assert(
    fc.property(fc.oneof(randomRule, randomInterval), randomInstant, fc.nat(20 * dayMs), (rule, startsAt, lengthMs) => {
      const anchored = 'everyMs' in rule ? { ...rule, anchor: rule.anchor ?? new Date(0) } : rule
      const endsAt = new Date(startsAt.getTime() + lengthMs + 1)
      const fromStart = open(anchored).take(new Date(startsAt.getTime() - 1), 50)
      const unbounded = fromStart.filter(({ at }) => at <= endsAt)
      const bounded = openRecurrence({ ...anchored, startsAt, endsAt }).take(new Date(0), 50)
      expect(bounded).toEqual(unbounded)
    }),
    { numRuns: 100 },
  )
})
