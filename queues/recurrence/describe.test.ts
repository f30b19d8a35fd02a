import { randomRule } from './random-recurrence.ts'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { describeRecurrence } from './describe.ts'
import { RecurrenceError, type RecurrenceRule } from './recurrence.ts'

const newYear = new Date('2026-01-01T00:00:00Z')

it.each<[RecurrenceRule, string]>([
  [{ cron: '0 9 * * 1-5', timeZone: 'Europe/Berlin' }, 'At 09:00, Monday through Friday, in Europe/Berlin'],
  [{ cron: '*/5 * * * *' }, 'Every 5 minutes, in UTC'],
  [{ cron: '* * * * *' }, 'Every minute, in UTC'],
  [{ cron: '0 22 ? * sun' }, 'At 22:00, only on Sunday, in UTC'],
  [{ cron: '0 0 L 2 *' }, 'At 00:00, on the last day of the month, only in February, in UTC'],
  [{ cron: '0 0 13 * 5' }, 'At 00:00, on day 13 of the month, or on Friday, in UTC'],
  [
    { cron: '0 0 13 1 5L' },
    'At 00:00, on day 13 of the month, or on the last Friday of the month, only in January, in UTC',
  ],
  [{ cron: '0 0 1,15W * *' }, 'At 00:00, on day 1 of the month and on the weekday nearest day 15 of the month, in UTC'],
  [{ cron: '0 9 * * 1,3#2' }, 'At 09:00, on the Monday and second Wednesday of the month, in UTC'],
  [{ cron: '0 0 */1 * 5' }, 'At 00:00, every day, or on Friday, in UTC'],
  [{ cron: '30 0 9 * * *', seconds: true }, 'At 09:00:30, in UTC'],
  [{ cron: '*/10 * * * * *', seconds: true }, 'Every 10 seconds, in UTC'],
  [{ everyMs: 90_000, anchor: newYear }, 'Every 90 seconds, counted from 2026-01-01T00:00:00.000Z'],
  [{ everyMs: 1_000 }, 'Every second, counted from 1970-01-01T00:00:00.000Z'],
  [{ everyMs: 1_001 }, 'Every 1.001 seconds, counted from 1970-01-01T00:00:00.000Z'],
  [{ everyMs: 5_400_000 }, 'Every 90 minutes, counted from 1970-01-01T00:00:00.000Z'],
  [{ everyMs: 86_400_000 }, 'Every 24 hours, counted from 1970-01-01T00:00:00.000Z'],
  [
    { everyMs: 3_600_000, startsAt: newYear, endsAt: new Date('2027-01-01T00:00:00Z') },
    'Every hour, counted from 2026-01-01T00:00:00.000Z, from 2026-01-01T00:00:00.000Z, until 2027-01-01T00:00:00.000Z',
  ],
])('says of %o: %s', (rule, expected) => {
  expect(describeRecurrence(rule)).toBe(expected)
})

it('has a sentence for whatever fires', () => {
  fc.assert(
    fc.property(randomRule, (rule) => {
      let sentence: string
      try {
        sentence = describeRecurrence(rule)
      } catch (error) {
        expect(error).toBeInstanceOf(RecurrenceError)
        return
      }
      const [, , daysOfMonth, , daysOfWeek] = rule.cron.split(' ')
      expect(sentence.includes(', or ')).toBe(daysOfMonth !== '*' && daysOfWeek !== '*')
      expect(sentence).not.toMatch(/undefined|null|\s,|,,|\s{2}/)
      expect(sentence.endsWith(`, in ${rule.timeZone}`)).toBe(true)
    }),
    { numRuns: 300 },
  )
})

it('refuses what cannot be', () => {
  expect(() => describeRecurrence({ cron: '* * *' })).toThrow(RecurrenceError)
})
