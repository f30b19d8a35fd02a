import cronstrue from 'cronstrue'
import { parseCron, type CronFields } from './cron-fields.ts'
import { openRecurrence, type RecurrenceRule } from './recurrence.ts'

/**
 * One English sentence without a full stop, for instance `At 09:00, Monday through Friday, in Europe/Berlin`.
 *
 * @throws RecurrenceError if the rule cannot be.
 */
export function describeRecurrence(rule: RecurrenceRule): string {
  openRecurrence(rule)
  const what =
    rule.cron === undefined
      ? describeInterval(rule.everyMs ?? 0, rule.anchor ?? rule.startsAt ?? new Date(0))
      : `${describeCron(parseCron(rule.cron, rule.seconds ?? false))}, in ${rule.timeZone ?? 'UTC'}`
  const from = rule.startsAt ? `, from ${rule.startsAt.toISOString()}` : ''
  const until = rule.endsAt ? `, until ${rule.endsAt.toISOString()}` : ''
  return what + from + until
}

const units = [
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const

/** Never in days: a day of a wall clock may have 23 hours. */
function describeInterval(everyMs: number, anchor: Date): string {
  const [unit, unitMs] = units.find(([, ms]) => everyMs % ms === 0) ?? units[2]
  const count = everyMs / unitMs
  return `Every ${count === 1 ? unit : `${count} ${unit}s`}, counted from ${anchor.toISOString()}`
}

/** Where Cronstrue is silent, as about a step of one. Of two kinds of days, one that takes all decides. */
const nothingSaid = { daysOfMonth: ', every day', months: '', daysOfWeek: ', every day' } as const

/** Cronstrue joins days of month and days of week by "and", though either will do; so the parts are described one by one. */
function describeCron(fields: CronFields): string {
  const open: CronFields = { ...fields, daysOfMonth: '*', months: '*', daysOfWeek: '*' }
  const time = words(open)
  const part = (key: 'daysOfMonth' | 'months' | 'daysOfWeek') =>
    fields[key] === '*' ? '' : words({ ...open, [key]: fields[key] }).slice(time.length) || nothingSaid[key]
  const [dates, weekdays, months] = [describeDates(fields, open, time), part('daysOfWeek'), part('months')]
  const either = dates && weekdays ? `${dates}, or${weekdays.replace(/^, (?:only )?/, ' ')}` : dates + weekdays
  return time + either + months
}

/** Each member of the list alone, where it has a W: Cronstrue knows that only by itself. */
function describeDates({ daysOfMonth }: CronFields, open: CronFields, time: string): string {
  if (daysOfMonth === '*') return ''
  const members = daysOfMonth.includes('W') ? daysOfMonth.split(',') : [daysOfMonth]
  return (
    members
      .map((each) => words({ ...open, daysOfMonth: each }).slice(time.length))
      .join(' and')
      .replaceAll('and, ', 'and ') || nothingSaid.daysOfMonth
  )
}

function words({ seconds, minutes, hours, daysOfMonth, months, daysOfWeek }: CronFields): string {
  const expression = [minutes, hours, daysOfMonth, months, daysOfWeek]
  return cronstrue.toString((seconds === '0' ? expression : [seconds, ...expression]).join(' '), {
    use24HourTimeFormat: true,
  })
}
