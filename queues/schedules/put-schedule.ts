import { isDeepStrictEqual } from 'node:util'
import { readClock } from '@jobyard/db/clock'
import type { Sql } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import {
  readSchedule,
  upsertSchedule,
  type NextFiring,
  type ScheduleRow,
  type ScheduleSource,
  type ScheduleTerms,
  type Upserted,
} from '@jobyard/db/schedules'
import { RecurrenceError } from '../recurrence/recurrence.ts'
import { storedRule, type ScheduleDefinition } from './definition.ts'
import { refuseWideJitter } from './jitter.ts'
import { dueAt, nextFiring, openRule, type Timing } from './stored-rule.ts'

/** What the jobs of a schedule are, with the terms of their contract. */
export type RunTerms = Pick<
  ScheduleTerms,
  'type' | 'queue' | 'input' | 'priority' | 'tags' | 'metadata' | 'maxAttempts' | 'timeoutMs'
>

/** A schedule that somebody wants. */
export interface WantedSchedule {
  readonly tenant: string
  readonly name: string
  readonly source: ScheduleSource
  readonly definition: ScheduleDefinition
  readonly run: RunTerms
}

/** How often one looks again where somebody else has changed or fired the schedule meanwhile. */
const tries = 5
const year10000 = Date.UTC(10_000, 0, 1)

/**
 * Makes a schedule or changes the one of this name; nothing happens where nothing differs, and where its rule stays it goes on with the
 * occurrence that was next.
 *
 * @returns undefined when the one of this name belongs to somebody else.
 * @throws RecurrenceError when its rule is none, or a new one would never fire; Error when others change it all the time.
 */
export async function putSchedule(sql: Sql, wanted: WantedSchedule): Promise<Upserted | undefined> {
  const { tenant, name, source, definition, run } = wanted
  const { jitterMs, missed, missedMax, overlap, paused } = definition
  const rule = storedRule(definition)
  for (let left = tries; left > 0; left--) {
    const [known, ms] = await Promise.all([readSchedule(sql, tenant, name), readClock(sql)])
    if (known && known.source !== source) return undefined
    const now = new Date(ms)
    const timing = { id: known?.id ?? newId(), createdAt: known?.createdAt ?? now, jitterMs, rule }
    const next = whereItGoesOn(timing, known, now)
    const terms = { ...run, ...timing, missed, missedMax, overlap }
    const upserted = await upsertSchedule(sql, { ...terms, tenant, name, source, paused, next, known })
    if (upserted) return upserted
  }
  throw new Error(`The schedule ${name} is changed by others all the time`)
}

function whereItGoesOn(timing: Timing, known: ScheduleRow | undefined, now: Date): NextFiring {
  const recurrence = openRule(timing)
  refuseWideJitter(timing, recurrence, now)
  if (known && !known.paused && isDeepStrictEqual(known.rule, timing.rule)) {
    const { nextAt } = known
    return { nextAt, dueAt: nextAt && dueAt(timing, nextAt) }
  }
  const next = nextFiring(timing, recurrence, now)
  if (!known && !next.nextAt) throw new RecurrenceError('endsAt', 'leaves no occurrence: the schedule would never fire')
  if (next.nextAt && next.nextAt.getTime() >= year10000)
    throw new RecurrenceError('startsAt', 'leaves no occurrence before the year 10000')
  return next
}
