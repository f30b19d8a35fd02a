import { expect, it } from 'vitest'
import { openRecurrence, type RecurrenceRule } from './recurrence.ts'

const iso = (at: Date) => at.toISOString().replace('.000Z', 'Z')
const takeFrom = (rule: RecurrenceRule, after: string, count: number) =>
  openRecurrence(rule)
    .take(new Date(after), count)
    .map(({ at }) => iso(at))

const everyWorkday = { cron: '0 9 * * 1-5' }
const everyMinuteAndAHalf = { everyMs: 90_000, anchor: new Date('2026-01-01T00:00:10Z') }

it.each<[string, RecurrenceRule, string[]]>([
  ['workdays', everyWorkday, ['2026-01-01T09:00:00Z', '2026-01-02T09:00:00Z', '2026-01-05T09:00:00Z']],
  ['names in any case', { cron: '0 9 * jan Mon,FRI' }, ['2026-01-02T09:00:00Z', '2026-01-05T09:00:00Z']],
  ['Sunday as 7', { cron: '0 0 * * 7' }, ['2026-01-04T00:00:00Z', '2026-01-11T00:00:00Z']],
  ['the last day of a month', { cron: '0 0 L * *' }, ['2026-01-31T00:00:00Z', '2026-02-28T00:00:00Z']],
  ['the last weekday of a month', { cron: '0 0 LW * *' }, ['2026-01-30T00:00:00Z', '2026-02-27T00:00:00Z']],
  [
    'the nearest weekday',
    { cron: '0 0 15W * *' },
    ['2026-01-15T00:00:00Z', '2026-02-16T00:00:00Z', '2026-03-16T00:00:00Z'],
  ],
  ['the nearest weekday within the month', { cron: '0 0 1W * *' }, ['2026-02-02T00:00:00Z', '2026-03-02T00:00:00Z']],
  ['the last Friday', { cron: '0 0 * * 5L' }, ['2026-01-30T00:00:00Z', '2026-02-27T00:00:00Z']],
  ['the second Friday', { cron: '0 0 ? * FRI#2' }, ['2026-01-09T00:00:00Z', '2026-02-13T00:00:00Z']],
  [
    'the 13th or a Friday',
    { cron: '0 0 13 * 5' },
    ['2026-01-02T00:00:00Z', '2026-01-09T00:00:00Z', '2026-01-13T00:00:00Z'],
  ],
  ['leap days', { cron: '0 0 29 2 *' }, ['2028-02-29T00:00:00Z', '2032-02-29T00:00:00Z']],
  ['seconds', { cron: '*/20 0 0 * * *', seconds: true }, ['2026-01-01T00:00:20Z', '2026-01-01T00:00:40Z']],
  ['an interval', everyMinuteAndAHalf, ['2026-01-01T00:00:10Z', '2026-01-01T00:01:40Z']],
  [
    'an interval before its anchor',
    { everyMs: 3_600_000, anchor: new Date('2030-01-01T00:30:00Z') },
    ['2026-01-01T00:30:00Z'],
  ],
  [
    'an interval from its start',
    { everyMs: 7_000, startsAt: new Date('2026-01-01T00:00:03Z') },
    ['2026-01-01T00:00:03Z', '2026-01-01T00:00:10Z'],
  ],
  ['an interval of no anchor', { everyMs: 86_400_000 }, ['2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z']],
  ['the winter of a zone', { ...everyWorkday, timeZone: 'Asia/Kathmandu' }, ['2026-01-01T03:15:00Z']],
  ['a zone in any case', { ...everyWorkday, timeZone: 'europe/kyiv' }, ['2026-01-01T07:00:00Z']],
])('fires on %s', (_, rule, expected) => {
  expect(takeFrom(rule, '2026-01-01T00:00:00Z', expected.length)).toEqual(expected)
})

it.each<[string, RecurrenceRule]>([
  ['cron', { cron: '* * * * *' }],
  ['everyMs', { everyMs: 60_000 }],
])('fires at startsAt and at endsAt, and not outside them: %s', (_, kind) => {
  const rule = { ...kind, startsAt: new Date('2026-01-01T00:05:00Z'), endsAt: new Date('2026-01-01T00:07:00Z') }
  expect(takeFrom(rule, '2025-01-01T00:00:00Z', 10)).toEqual([
    '2026-01-01T00:05:00Z',
    '2026-01-01T00:06:00Z',
    '2026-01-01T00:07:00Z',
  ])
  const { occurrences, count } = openRecurrence(rule).missed(new Date(0), new Date('2027-01-01T00:00:00Z'), 2)
  expect(occurrences.map(({ at }) => iso(at))).toEqual(['2026-01-01T00:06:00Z', '2026-01-01T00:07:00Z'])
  expect(count).toBe(3)
})

it.each([
  ['cron', { cron: '* * * * * *', seconds: true }, undefined],
  ['everyMs', { everyMs: 1_000 }, 366 * 86_400 - 86_400],
])('tells the last of a year of seconds: %s', (_, rule, expected) => {
  const missed = openRecurrence(rule).missed(new Date('2025-01-01T00:00:00Z'), new Date('2026-01-01T00:00:00Z'), 3)
  expect(missed.occurrences.map(({ at }) => iso(at))).toEqual([
    '2025-12-31T23:59:58Z',
    '2025-12-31T23:59:59Z',
    '2026-01-01T00:00:00Z',
  ])
  expect(missed.count).toBe(expected)
})

it('counts up to 10,000 of an expression', () => {
  const everySecond = openRecurrence({ cron: '* * * * * *', seconds: true })
  const count = (seconds: number) => everySecond.missed(new Date(0), new Date(seconds * 1_000), 0).count
  expect([count(0), count(1), count(10_000), count(10_001)]).toEqual([0, 1, 10_000, undefined])
})

it('gives as many missed ones as are asked for, also more than it counts', () => {
  const everySecond = openRecurrence({ cron: '* * * * * *', seconds: true })
  expect(everySecond.missed(new Date(0), new Date(1e9), 12_000).occurrences).toHaveLength(12_000)
})

it('has missed what fires once a year in the first pass of a repeated hour, seen from the second', () => {
  const yearly = openRecurrence({ cron: '30 2 25 10 *', timeZone: 'Europe/Berlin' })
  const secondPass = new Date('2026-10-25T01:10:00Z')
  expect(yearly.missed(new Date('2026-10-24T00:00:00Z'), secondPass, 5)).toEqual({
    occurrences: [{ at: new Date('2026-10-25T00:30:00Z') }],
    count: 1,
  })
})

it('has no next where each one would be in a gap', () => {
  const rule = { cron: '30 2 * 3 SUNL', timeZone: 'Europe/Berlin', skipped: 'drop' } as const
  expect(openRecurrence(rule).next(new Date('2026-01-01T00:00:00Z'))).toBeUndefined()
})

it('finds the dates that are farthest apart', () => {
  expect(takeFrom({ cron: '0 0 * 2 MON#5' }, '2072-03-01T00:00:00Z', 1)).toEqual(['2112-02-29T00:00:00Z'])
})

it('has nothing before 1900, nor after the start of 2999', () => {
  expect(takeFrom({ cron: '* * * * *' }, '-009999-01-01T00:00:00Z', 1)).toEqual(['1900-01-01T00:00:00Z'])
  expect(takeFrom({ cron: '* * * * *' }, '2998-12-31T23:58:00Z', 3)).toEqual([
    '2998-12-31T23:59:00Z',
    '2999-01-01T00:00:00Z',
  ])
  expect(takeFrom({ cron: '* * * * *' }, '+200000-01-01T00:00:00Z', 1)).toEqual([])
  expect(takeFrom({ everyMs: 1_000 }, '+275760-09-13T00:00:00Z', 1)).toEqual([])
})
