import { expect, it } from 'vitest'
import { firedOn } from './fired-on.ts'
import type { RecurrenceRule } from './recurrence.ts'

const berlin = { timeZone: 'Europe/Berlin' }
const newYork = { timeZone: 'America/New_York' }
const lordHowe = { timeZone: 'Australia/Lord_Howe' }
const casablanca = { timeZone: 'Africa/Casablanca' }
const troll = { timeZone: 'Antarctica/Troll' }

it.each<[string, string, RecurrenceRule, string[]]>([
  ['moves what is in the gap to its end', '2026-03-29', { cron: '30 2 * * *', ...berlin }, ['03:00:00+02:00 moved']],
  ['moves the first time of the gap', '2026-03-29', { cron: '0 2 * * *', ...berlin }, ['03:00:00+02:00 moved']],
  ['makes one of all that was skipped', '2026-03-29', { cron: '*/5 2 * * *', ...berlin }, ['03:00:00+02:00 moved']],
  ['does not move what fires there anyway', '2026-03-29', { cron: '0 2,3 * * *', ...berlin }, ['03:00:00+02:00']],
  [
    'fires at the end of the gap besides what comes later',
    '2026-03-29',
    { cron: '30 1-3 * * *', ...berlin },
    ['01:30:00+01:00', '03:00:00+02:00 moved', '03:30:00+02:00'],
  ],
  ['leaves out what is in the gap if told', '2026-03-29', { cron: '30 2 * * *', skipped: 'drop', ...berlin }, []],
  [
    'leaves out of many only what is in the gap',
    '2026-03-29',
    { cron: '30 1-3 * * *', skipped: 'drop', ...berlin },
    ['01:30:00+01:00', '03:30:00+02:00'],
  ],
  ['fires by the clock before a gap', '2026-03-29', { cron: '59 1 * * *', ...berlin }, ['01:59:00+01:00']],
  ['fires by the clock right after a gap', '2026-03-29', { cron: '0 3 * * *', ...berlin }, ['03:00:00+02:00']],
  ['fires once where an hour repeats', '2026-10-25', { cron: '30 2 * * *', ...berlin }, ['02:30:00+02:00']],
  ['fires once at the first repeated minute', '2026-10-25', { cron: '0 2 * * *', ...berlin }, ['02:00:00+02:00']],
  [
    'fires at the first minute that is not repeated',
    '2026-10-25',
    { cron: '0 3 * * *', ...berlin },
    ['03:00:00+01:00'],
  ],
  [
    'fires twice if told',
    '2026-10-25',
    { cron: '30 2 * * *', repeated: 'twice', ...berlin },
    ['02:30:00+02:00', '02:30:00+01:00 repeated'],
  ],
  [
    'fires twice also what comes once a year',
    '2026-10-25',
    { cron: '30 2 25 10 *', repeated: 'twice', ...berlin },
    ['02:30:00+02:00', '02:30:00+01:00 repeated'],
  ],
  [
    'has all of the first pass before the second',
    '2026-10-25',
    { cron: '*/30 2 * * *', repeated: 'twice', ...berlin },
    ['02:00:00+02:00', '02:30:00+02:00', '02:00:00+01:00 repeated', '02:30:00+01:00 repeated'],
  ],
  [
    'fires once of two hours of which one repeats',
    '2026-10-25',
    { cron: '30 1-2 * * *', ...berlin },
    ['01:30:00+02:00', '02:30:00+02:00'],
  ],
  [
    'pauses for an hour if what takes all hours is to fire once',
    '2026-11-01',
    { cron: '0 0-2,3-23 * * *', repeated: 'once', ...newYork },
    [0, 1, 2].map((hour) => `0${hour}:00:00-0${hour < 2 ? 4 : 5}:00`).concat(hourly(3, 23, '-05:00')),
  ],
  [
    'goes on hourly through the repeated hour, whatever the expression looks like',
    '2026-11-01',
    { cron: '0 0-2,3-23 * * *', ...newYork },
    ['00:00:00-04:00', '01:00:00-04:00', '01:00:00-05:00 repeated', ...hourly(2, 23, '-05:00')],
  ],
  ['moves over a gap in America too', '2026-03-08', { cron: '15 2 * * *', ...newYork }, ['03:00:00-04:00 moved']],
  ['moves by half an hour', '2026-10-04', { cron: '0 2 * * *', ...lordHowe }, ['02:30:00+11:00 moved']],
  ['keeps the half of the hour that exists', '2026-10-04', { cron: '45 2 * * *', ...lordHowe }, ['02:45:00+11:00']],
  [
    'repeats half an hour',
    '2026-04-05',
    { cron: '*/15 1 * * *', repeated: 'twice', ...lordHowe },
    [
      '01:00:00+11:00',
      '01:15:00+11:00',
      '01:30:00+11:00',
      '01:45:00+11:00',
      '01:30:00+10:30 repeated',
      '01:45:00+10:30 repeated',
    ],
  ],
  [
    'repeats no more than half an hour',
    '2026-04-05',
    { cron: '0 1 * * *', repeated: 'twice', ...lordHowe },
    ['01:00:00+11:00'],
  ],
  ['goes back for Ramadan', '2025-02-23', { cron: '30 2 * * *', ...casablanca }, ['02:30:00+01:00']],
  ['goes forward after Ramadan', '2025-04-06', { cron: '30 2 * * *', ...casablanca }, ['03:00:00+01:00 moved']],
  [
    'moves a midnight that was skipped',
    '2018-11-04',
    { cron: '0 0 * * *', timeZone: 'America/Sao_Paulo' },
    ['01:00:00-02:00 moved'],
  ],
  [
    'repeats the hour before midnight',
    '2018-02-17',
    { cron: '0 23 * * *', timeZone: 'America/Sao_Paulo' },
    ['23:00:00-02:00'],
  ],
  ['moves midnight in Beirut', '2026-03-29', { cron: '0 0 * * *', timeZone: 'Asia/Beirut' }, ['01:00:00+03:00 moved']],
  ['moves by two hours', '2026-03-29', { cron: '10 1,2 * * *', ...troll }, ['03:00:00+02:00 moved']],
  [
    'repeats two hours',
    '2026-10-25',
    { cron: '0 1,2 * * *', repeated: 'twice', ...troll },
    ['01:00:00+02:00', '02:00:00+02:00', '01:00:00+00:00 repeated', '02:00:00+00:00 repeated'],
  ],
  ['has no day that was skipped', '2011-12-30', { cron: '0 9 * * *', timeZone: 'Pacific/Apia' }, []],
  [
    'makes up for a skipped day at the start of the next',
    '2011-12-31',
    { cron: '0 9 * * *', timeZone: 'Pacific/Apia' },
    ['00:00:00+14:00 moved', '09:00:00+14:00'],
  ],
  [
    'does not make up for it if told so',
    '2011-12-31',
    { cron: '0 9 * * *', skipped: 'drop', timeZone: 'Pacific/Apia' },
    ['09:00:00+14:00'],
  ],
  [
    'moves seconds like minutes',
    '2026-03-29',
    { cron: '59,30 59 1,2 * * *', seconds: true, ...berlin },
    ['01:59:30+01:00', '01:59:59+01:00', '03:00:00+02:00 moved'],
  ],
])('%s (%s, %o)', (_, day, rule, expected) => {
  expect(firedOn(day, rule)).toEqual(expected)
})

function hourly(first: number, last: number, offset: string): string[] {
  return Array.from({ length: last - first + 1 }, (_, k) => `${String(first + k).padStart(2, '0')}:00:00${offset}`)
}
