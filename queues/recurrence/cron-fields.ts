import { CronPattern } from 'croner'
import { RecurrenceError } from './rule.ts'

/** An expression whose fields were found good, one by one. */
export interface CronFields {
  readonly seconds: string
  readonly minutes: string
  readonly hours: string
  readonly daysOfMonth: string
  readonly months: string
  readonly daysOfWeek: string
}

interface FieldRule {
  readonly key: keyof CronFields
  readonly name: string
  readonly takes: string
  /** What one member of a list may look like; whether its numbers fit is for croner to say. */
  readonly member: RegExp
}

const maxLength = 256
const digits = String.raw`\d{1,2}`
const digitsOrName = String.raw`(?:\d{1,2}|[a-z]{3})`
const span = (value: string) => String.raw`\*\/${digits}|${value}(?:-${value}(?:\/${digits})?)?`
const member = (...forms: string[]) => new RegExp(`^(?:${forms.join('|')})$`, 'i')

const secondRule: FieldRule = {
  key: 'seconds',
  name: 'second',
  takes: '0 to 59',
  member: member(span(digits)),
}
const fieldRules: readonly FieldRule[] = [
  { key: 'minutes', name: 'minute', takes: '0 to 59', member: member(span(digits)) },
  { key: 'hours', name: 'hour', takes: '0 to 23', member: member(span(digits)) },
  {
    key: 'daysOfMonth',
    name: 'day of month',
    takes: '1 to 31, L (the last day), 15W (the weekday nearest to the 15th) and LW (the last weekday)',
    member: member(span(digits), 'L', 'LW', `${digits}W`),
  },
  { key: 'months', name: 'month', takes: '1 to 12 or JAN to DEC', member: member(span(digitsOrName)) },
  {
    key: 'daysOfWeek',
    name: 'day of week',
    takes: '0 to 7 (both are Sunday) or SUN to SAT, 5L (the last Friday) and 5#2 (the second Friday)',
    member: member(span(digitsOrName), `${digitsOrName}L`, String.raw`${digitsOrName}#\d`),
  },
]
const hints = 'alone, in lists (1,5), ranges (1-5) and steps (*/5, 1-5/2), or * for all'

const everySecond: CronFields = {
  seconds: '*',
  minutes: '*',
  hours: '*',
  daysOfMonth: '*',
  months: '*',
  daysOfWeek: '*',
}

const nicknames: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

/**
 * @param cron an expression of five fields, or of six with seconds first.
 * @param withSeconds whether it has six.
 * @throws RecurrenceError that names the field that is wrong.
 */
export function parseCron(cron: string, withSeconds: boolean): CronFields {
  if (cron.length > maxLength)
    throw new RecurrenceError('cron', `cron has ${cron.length} characters, at most ${maxLength} are taken.`)
  const texts = cron.trim() === '' ? [] : cron.trim().split(/[ \t]+/)
  if (texts[0]?.startsWith('@')) throw new RecurrenceError('cron', refusalOfNickname(texts[0]))
  const rules = withSeconds ? [secondRule, ...fieldRules] : fieldRules
  if (texts.length !== rules.length)
    throw new RecurrenceError('cron', refusalOfCount(cron, texts.length, rules, withSeconds))
  const fields: Record<keyof CronFields, string> = { ...everySecond, seconds: '0' }
  for (const [index, rule] of rules.entries()) {
    const text = texts[index] ?? ''
    if (!looksGood(rule, text)) throw new RecurrenceError('cron', refusalOfField(rule, text))
    fields[rule.key] = text === '?' ? '*' : text.toUpperCase()
  }
  if (!isTaken(fields)) throw new RecurrenceError('cron', refusalOfCulprit(fields, rules))
  return fields
}

/** The six fields, seconds first, as croner reads them. */
export function cronText(fields: CronFields): string {
  return [fields.seconds, fields.minutes, fields.hours, fields.daysOfMonth, fields.months, fields.daysOfWeek].join(' ')
}

const looksGood = ({ member }: FieldRule, text: string) =>
  text === '*' || text === '?' || text.split(',').every((each) => member.test(each))

function isTaken(fields: CronFields): boolean {
  try {
    return Boolean(new CronPattern(cronText(fields), undefined, { mode: '6-part' }))
  } catch {
    return false
  }
}

/** The first field that is not taken even among stars. */
function refusalOfCulprit(fields: CronFields, rules: readonly FieldRule[]): string {
  const culprit = rules.find(({ key }) => !isTaken({ ...everySecond, [key]: fields[key] }))
  return culprit ? refusalOfField(culprit, fields[culprit.key]) : `cron: "${cronText(fields)}" is not understood.`
}

const refusalOfField = ({ name, takes }: FieldRule, text: string) =>
  `${name}: "${text}" is not understood. It takes ${takes}: ${hints}.`

function refusalOfNickname(nickname: string): string {
  const instead = nicknames[nickname.toLowerCase()]
  if (instead) return `cron: "${nickname}" is not taken, write "${instead}" instead.`
  return `cron: "${nickname}" is not taken. Write when it fires in five fields, for instance "0 9 * * 1-5"; what runs at a start is a job that you submit then.`
}

function refusalOfCount(cron: string, count: number, rules: readonly FieldRule[], withSeconds: boolean): string {
  const names = rules.map(({ name }) => name).join(', ')
  const has = count === 0 ? 'this is empty' : `"${cron.trim()}" has ${count}`
  const wanted = withSeconds ? 'six fields, since seconds is true' : 'five fields'
  const hint = !withSeconds && count === 6 ? ' With seconds: true a sixth comes first, for seconds.' : ''
  return `cron has ${wanted} (${names}), and ${has}. For instance "${withSeconds ? '0 ' : ''}0 9 * * 1-5".${hint}`
}
