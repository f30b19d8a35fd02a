import fc from 'fast-check'
import { Temporal } from 'temporal-polyfill'
import type { RecurrenceRule } from './recurrence.ts'

const hourMs = 3_600_000

const number = (min: number, max: number) => fc.integer({ min, max }).map(String)
const range = (min: number, max: number) =>
  fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })).map((ends) => ends.toSorted((a, b) => a - b).join('-'))
const step = (max: number) => fc.integer({ min: 1, max }).map((each) => `/${each}`)
const field = (min: number, max: number, ...more: fc.Arbitrary<string>[]) =>
  fc.oneof(
    number(min, max),
    fc.uniqueArray(fc.integer({ min, max }), { minLength: 2, maxLength: 4 }).map((numbers) => numbers.join(',')),
    range(min, max),
    fc.tuple(range(min, max), step(max - min)).map((parts) => parts.join('')),
    step(max - min).map((each) => `*${each}`),
    fc.constant('*'),
    ...more,
  )
const mostlyAny = (arbitrary: fc.Arbitrary<string>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant('*') }, { weight: 1, arbitrary })

/** Five fields of what all programs take alike; some never fire. */
export const randomCron: fc.Arbitrary<string> = fc
  .tuple(
    field(0, 59),
    fc.oneof(field(0, 23), field(0, 3)),
    mostlyAny(field(1, 31, fc.constant('L'))),
    mostlyAny(field(1, 12, fc.constantFrom('JAN-MAR', 'sep-NOV', 'Apr,Oct'))),
    mostlyAny(
      field(
        0,
        6,
        fc.constantFrom('7', 'MON-FRI', 'sun,sat', '5-7'),
        number(0, 6).map((day) => `${day}L`),
        fc.tuple(number(0, 6), number(1, 5)).map((parts) => parts.join('#')),
      ),
    ),
  )
  .map((fields) => fields.join(' '))

/** Zones that move by an hour in ways that differ, at midnight too; by half an hour; by two; by a day; that stand still. */
export const randomZone: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    'Europe/Berlin',
    'America/New_York',
    'Australia/Lord_Howe',
    'Africa/Casablanca',
    'America/Sao_Paulo',
    'Asia/Beirut',
    'Pacific/Apia',
    'Antarctica/Troll',
    'Asia/Kathmandu',
    'UTC',
  ),
  fc.constantFrom(...Intl.supportedValuesOf('timeZone')),
)

/** Years in which no zone's clocks are off by seconds, and no transition is within a minute. */
export const randomInstant: fc.Arbitrary<Date> = fc.date({
  min: new Date('1973-01-01T00:00:00Z'),
  max: new Date('2037-12-31T00:00:00Z'),
  noInvalidDate: true,
})

export const randomRule: fc.Arbitrary<RecurrenceRule & { readonly cron: string; readonly timeZone: string }> =
  fc.record({
    cron: randomCron,
    timeZone: randomZone,
    skipped: fc.constantFrom('after', 'drop', undefined),
    repeated: fc.constantFrom('auto', 'once', 'twice', undefined),
  })

export interface Transition {
  readonly atMs: number
  /** By how much clocks were moved: positive where they skipped a time. */
  readonly shiftMs: number
  /** What clocks show at it, once they are moved, for instance `03:00:00`. */
  readonly clock: string
}

/** The first change of a zone's clocks after an instant. */
export function transitionAfter(timeZone: string, after: Date): Transition | undefined {
  const local = Temporal.Instant.fromEpochMilliseconds(after.getTime()).toZonedDateTimeISO(timeZone)
  const changed = local.getTimeZoneTransition('next')
  if (!changed) return undefined
  return {
    atMs: changed.epochMilliseconds,
    shiftMs: (changed.offsetNanoseconds - local.offsetNanoseconds) / 1e6,
    clock: changed.toPlainTime().toString(),
  }
}

/** Around a transition: before it all of what it repeats, after it as much again. */
export function surroundings({ atMs, shiftMs }: Transition): { readonly from: Date; readonly to: Date } {
  const span = Math.abs(shiftMs) + 3 * hourMs
  return { from: new Date(atMs - span), to: new Date(atMs + span) }
}
