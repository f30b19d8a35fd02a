import { expect, it } from 'vitest'
import { openRecurrence, RecurrenceError, type RecurrenceRule } from './recurrence.ts'

function refusal(rule: RecurrenceRule): RecurrenceError {
  try {
    openRecurrence(rule)
  } catch (error) {
    if (error instanceof RecurrenceError) return error
    throw error
  }
  throw new Error('it was taken')
}

it.each([
  ['', 'cron has five fields (minute, hour, day of month, month, day of week), and this is empty'],
  ['   ', 'this is empty'],
  ['* * *', '"* * *" has 3'],
  ['1 2 3 4 5 6 7', 'has 7'],
  ['0 0 9 * * 1', 'With seconds: true a sixth comes first'],
  ['0 0 30 2 *', 'never fires: day of month "30" does not come in month "2"'],
  ['0 0 31W 4,6,9,11 *', 'never fires'],
  ['*/0 * * * *', 'minute: "*/0"'],
  ['60 * * * *', 'minute: "60"'],
  ['*/61 * * * *', 'minute: "*/61"'],
  ['5/15 * * * *', 'minute: "5/15"'],
  ['50-10 * * * *', 'minute: "50-10"'],
  ['1,,2 * * * *', 'minute: "1,,2"'],
  ['*,5 * * * *', 'minute: "*,5"'],
  ['H * * * *', 'minute: "H"'],
  ['~ * * * *', 'minute: "~"'],
  ['JAN * * * *', 'minute: "JAN"'],
  ['L * * * *', 'minute: "L"'],
  ['0\u00A09 * * * *', 'minute: "0\u00A09"'],
  ['0 24 * * *', 'hour: "24"'],
  ['0 -1 * * *', 'hour: "-1"'],
  ['0 ９ * * *', 'hour: "９"'],
  ['0 0 0 * *', 'day of month: "0"'],
  ['0 0 32 * *', 'day of month: "32"'],
  ['0 0 L-3 * *', 'day of month: "L-3"'],
  ['0 0 W * *', 'day of month: "W"'],
  ['0 0 * 13 *', 'month: "13"'],
  ['0 0 * FOO *', 'month: "FOO"'],
  ['0 0 * * 8', 'day of week: "8"'],
  ['0 0 * * MONDAY', 'day of week: "MONDAY"'],
  ['0 0 * * L', 'day of week: "L"'],
  ['0 0 * * 1-3L', 'day of week: "1-3L"'],
  ['0 0 * * 1#6', 'day of week: "1#6"'],
  ['0 0 1 * +5', 'day of week: "+5"'],
  ['@daily', 'write "0 0 * * *" instead'],
  ['@REBOOT', '"@REBOOT" is not taken'],
  ['@every 5m', '"@every" is not taken'],
  ['@constructor', '"@constructor" is not taken'],
  ['*'.repeat(2_048), 'cron has 2048 characters, at most 256'],
])('refuses the expression %j: %s', (cron, reason) => {
  const error = refusal({ cron })
  expect(error.field).toBe('cron')
  expect(error.message).toContain(reason)
})

it('names the field of seconds', () => {
  expect(refusal({ cron: '60 * * * * *', seconds: true }).message).toContain('second: "60"')
  expect(refusal({ cron: '0 9 * * *', seconds: true }).message).toContain('six fields')
})

it.each(['Mars/Phobos', 'UTC+25', 'UTC+2', '+05:30', '', 'PST', 'x'.repeat(2_000)])(
  'refuses the zone %j',
  (timeZone) => {
    const error = refusal({ cron: '* * * * *', timeZone })
    expect(error.field).toBe('timeZone')
    expect(error.message).toContain(`"${timeZone.slice(0, 60)}`)
    expect(error.message.length).toBeLessThan(400)
  },
)

it.each(['UTC', 'Etc/GMT-5', 'Asia/Kathmandu', 'Europe/Kyiv', 'america/argentina/buenos_aires', 'EST5EDT'])(
  'takes the zone %s',
  (timeZone) => {
    expect(openRecurrence({ cron: '* * * * *', timeZone }).take(new Date(0), 2)).toHaveLength(2)
  },
)

it.each([999, 0, -60_000, 1_000.5, Number.NaN, Infinity, 366 * 86_400_000 + 1])('refuses every %d ms', (everyMs) => {
  expect(refusal({ everyMs }).field).toBe('everyMs')
})

const noDate = new Date(Number.NaN)
it.each<[string, RecurrenceRule, string]>([
  ['neither kind', {}, 'cron'],
  ['both kinds', { cron: '* * * * *', everyMs: 60_000 }, 'cron'],
  ['an end at the start', { everyMs: 60_000, startsAt: new Date(1), endsAt: new Date(1) }, 'endsAt'],
  ['a start that is no date', { everyMs: 60_000, startsAt: noDate }, 'startsAt'],
  ['an end that is no date', { everyMs: 60_000, endsAt: noDate }, 'endsAt'],
  ['an anchor that is no date', { everyMs: 60_000, anchor: noDate }, 'anchor'],
])('refuses %s', (_, rule, field) => {
  expect(refusal(rule).field).toBe(field)
})
