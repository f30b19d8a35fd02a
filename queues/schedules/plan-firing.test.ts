import type { DueSchedule } from '@jobyard/db/occurrences'
import type { ScheduleRule } from '@jobyard/db/schedules'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { graceMs, planFiring } from './plan-firing.ts'
import { dueAt, openRule } from './stored-rule.ts'

const minute = 60_000
const start = Date.UTC(2030, 0, 1)
const every = (ms: number): ScheduleRule => ({ everyMs: ms, anchor: new Date(start).toISOString() })

function due(passedMs: number, overrides: Partial<DueSchedule> = {}): DueSchedule {
  const nextAt = new Date(start)
  return {
    id: '018f0000-0000-7000-8000-000000000000',
    tenant: 'default',
    name: 'nightly',
    source: 'api',
    version: 1,
    rule: every(5 * minute),
    jitterMs: 0,
    missed: 'once',
    missedMax: 3,
    overlap: 'allow',
    paused: false,
    type: 'echo',
    queue: 'default',
    priority: 0,
    tags: [],
    maxAttempts: 1,
    timeoutMs: 1,
    nextAt,
    dueAt: nextAt,
    lastJobId: null,
    createdAt: nextAt,
    updatedAt: nextAt,
    now: new Date(start + passedMs),
    isRunning: false,
    bytes: 2,
    ...overrides,
  }
}

/** @returns what becomes of the occurrences, by the minute of each. */
function plan(schedule: DueSchedule) {
  const { occurrences, next, missed } = planFiring(schedule, openRule(schedule))
  const at = (date: Date) => (date.getTime() - start) / minute
  return {
    occurrences: occurrences.map(({ at: when, outcome, through, count }) =>
      outcome === 'missed' ? [outcome, at(when), at(through!), count] : [outcome, at(when)],
    ),
    next: next.nextAt && at(next.nextAt),
    missed: missed && [at(missed.from), at(missed.through), missed.count, missed.fired],
  }
}

describe('What becomes of occurrences that have passed', () => {
  it('one in time is fired, and the next one comes after it', () => {
    expect(plan(due(20))).toEqual({ occurrences: [['due', 0]], next: 5, missed: undefined })
  })

  it('one that is late by no more than the grace is in time', () => {
    expect(plan(due(graceMs, { missed: 'skip' })).occurrences).toEqual([['due', 0]])
    expect(plan(due(graceMs + 1, { missed: 'skip' })).occurrences).toEqual([['missed', 0, 0, 1]])
  })

  it.each([
    [
      'skip',
      [
        ['missed', 0, 20, 5],
        ['due', 25],
      ],
      0,
    ],
    [
      'once',
      [
        ['missed', 0, 15, 4],
        ['due', 20],
        ['due', 25],
      ],
      1,
    ],
    [
      'all',
      [
        ['missed', 0, 5, 2],
        ['due', 10],
        ['due', 15],
        ['due', 20],
        ['due', 25],
      ],
      3,
    ],
  ] as const)('of those that were missed, %s fires what it says', (missed, occurrences, fired) => {
    expect(plan(due(25 * minute, { missed }))).toEqual({ occurrences, next: 30, missed: [0, 20, 5, fired] })
  })

  it('all of them are fired where that is not too many', () => {
    const { occurrences, missed } = plan(due(12 * minute, { missed: 'all' }))
    expect(occurrences).toEqual([
      ['due', 0],
      ['due', 5],
      ['due', 10],
    ])
    expect(missed).toEqual([0, 10, 3, 3])
  })

  it('those of a year of seconds take no time and one row', () => {
    const yearMs = 365 * 86_400_000
    const { occurrences, next } = planFiring(
      due(yearMs, { rule: every(1_000) }),
      openRule({ rule: every(1_000), createdAt: new Date() }),
    )
    expect(occurrences[0]).toMatchObject({ outcome: 'missed', count: yearMs / 1_000 - 61 })
    expect(occurrences).toHaveLength(1 + 1 + 61)
    expect(next.nextAt?.getTime()).toBe(start + yearMs + 1_000)
    const cron = { cron: '* * * * * *', seconds: true }
    expect(
      planFiring(due(yearMs, { rule: cron }), openRule({ rule: cron, createdAt: new Date() })).missed,
    ).toMatchObject({ count: undefined })
  })

  it('after the end there is no next one', () => {
    const rule = { ...every(5 * minute), endsAt: new Date(start + minute).toISOString() }
    expect(plan(due(0, { rule }))).toEqual({ occurrences: [['due', 0]], next: null, missed: undefined })
  })
})

describe('Runs that may not overlap', () => {
  const late = { missed: 'all' } as const
  it('are the first of those that are fired, if the last run has ended', () => {
    const { occurrences } = planFiring(due(10 * minute, { ...late, overlap: 'skip' }), openRule(due(0)))
    expect(occurrences.map(({ outcome, isExclusive }) => [outcome, isExclusive])).toEqual([
      ['due', true],
      ['overlapped', true],
      ['overlapped', true],
    ])
  })

  it('are the last of them, where it takes the place of the run before', () => {
    const { occurrences } = plan(due(10 * minute, { ...late, overlap: 'cancel-previous' }))
    expect(occurrences).toEqual([
      ['overlapped', 0],
      ['overlapped', 5],
      ['due', 10],
    ])
  })
})

describe('Jitter', () => {
  it('is the same whoever asks, differs between schedules, and stays below what was said', () => {
    const at = new Date(start)
    const delays = Array.from(
      { length: 200 },
      (_, n) => dueAt({ id: `id ${n}`, jitterMs: 1_000 }, at).getTime() - start,
    )
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...delays)).toBeLessThan(1_000)
    expect(new Set(delays).size).toBeGreaterThan(100)
    expect(dueAt({ id: 'id 0', jitterMs: 1_000 }, at).getTime() - start).toBe(delays[0])
  })

  it('holds an occurrence back until its time', () => {
    const jitterMs = 4 * minute
    const schedule = due(0, { jitterMs })
    const second = dueAt(schedule, new Date(start + 5 * minute))
    const before = { ...schedule, now: new Date(second.getTime() - 1) }
    expect(plan({ ...before, missed: 'all' }).occurrences).toEqual([['due', 0]])
    const { next } = planFiring(before, openRule(before))
    expect(next).toEqual({ nextAt: new Date(start + 5 * minute), dueAt: second })
  })
})

it('However rounds fall, each occurrence is fired once, or recorded as missed once', () => {
  const rule = fc.constantFrom(
    every(1_000),
    every(90_000),
    { cron: '*/7 * * * *' },
    { cron: '30 2 * * *', timeZone: 'Europe/Berlin' },
  )
  const gaps = fc.array(fc.integer({ min: 0, max: 400_000 }), { minLength: 1, maxLength: 12 })
  const missed = fc.constantFrom('skip' as const, 'once' as const, 'all' as const)
  fc.assert(
    fc.property(rule, gaps, missed, (rule, gaps, policy) => {
      const recurrence = openRule({ rule, createdAt: new Date(start) })
      let nextAt = recurrence.next(new Date(start - 1))!.at
      const seen: number[] = []
      let now = start
      let last = start - 1
      for (const gap of gaps) {
        now += gap
        if (nextAt.getTime() > now) continue
        const schedule = due(0, { rule, missed: policy, nextAt, dueAt: nextAt, now: new Date(now) })
        const { occurrences, next } = planFiring(schedule, recurrence)
        for (const { at, through } of occurrences) {
          if (through)
            seen.push(
              ...recurrence
                .take(new Date(at.getTime() - 1), 500)
                .map((each) => each.at.getTime())
                .filter((ms) => ms <= through.getTime()),
            )
          else seen.push(at.getTime())
        }
        last = next.nextAt!.getTime() - 1
        nextAt = next.nextAt!
      }
      const all = recurrence.take(new Date(start - 1), 5_000).map(({ at }) => at.getTime())
      expect(seen).toEqual(all.filter((at) => at <= last))
    }),
    { numRuns: 60 },
  )
})
