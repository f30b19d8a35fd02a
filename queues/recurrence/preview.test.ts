import { expect, it } from 'vitest'
import { previewRuns } from './preview.ts'
import { RecurrenceError } from './recurrence.ts'

it('shows instants as clocks of the zone do, with what is to be remarked', () => {
  const rule = { cron: '30 2 * * *', timeZone: 'europe/berlin' }
  expect(previewRuns(rule, new Date('2026-03-28T00:00:00Z'), 3)).toEqual([
    { at: new Date('2026-03-28T01:30:00Z'), local: '2026-03-28T02:30:00+01:00[Europe/Berlin]' },
    { at: new Date('2026-03-29T01:00:00Z'), local: '2026-03-29T03:00:00+02:00[Europe/Berlin]', remark: 'moved' },
    { at: new Date('2026-03-30T00:30:00Z'), local: '2026-03-30T02:30:00+02:00[Europe/Berlin]' },
  ])
})

it('shows an interval in UTC, to the millisecond, or in the zone that is named', () => {
  const local = (timeZone?: string) =>
    previewRuns({ everyMs: 1_500, timeZone }, new Date(1_000), 2).map((run) => run.local)
  expect(local()).toEqual(['1970-01-01T00:00:01.5+00:00[UTC]', '1970-01-01T00:00:03+00:00[UTC]'])
  expect(local('Asia/Kathmandu')[1]).toBe('1970-01-01T05:30:03+05:30[Asia/Kathmandu]')
})

it('refuses what cannot be', () => {
  expect(() => previewRuns({ everyMs: 1 }, new Date(0), 1)).toThrow(RecurrenceError)
})
