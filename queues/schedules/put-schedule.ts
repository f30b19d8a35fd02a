import { readClock } from '@jobyard/db/clock'
import type { Sql } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import {
  readSchedule,
  upsertSchedule,
  type ScheduleSource,
  type ScheduleTerms,
  type Upserted,
} from '@jobyard/db/schedules'
import { RecurrenceError } from '../recurrence/recurrence.ts'
import { storedRule, type ScheduleDefinition } from './definition.ts'
import { refuseWideJitter } from './jitter.ts'
import { nextFiring, openRule } from './stored-rule.ts'

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

/**
 * Makes a schedule or changes the one of this name; nothing happens where nothing differs.
 *
 * @returns undefined when the one of this name belongs to somebody else.
 * @throws RecurrenceError when its rule is none, or a new one would never fire.
 */
export async function putSchedule(sql: Sql, wanted: WantedSchedule): Promise<Upserted | undefined> {
  const { tenant, name, source, definition, run } = wanted
  const { jitterMs, missed, missedMax, overlap, paused } = definition
  const rule = storedRule(definition)
  openRule({ rule, createdAt: new Date() })
  const [known, now] = await Promise.all([readSchedule(sql, tenant, name), readClock(sql)])
  const { id, createdAt } = known ?? { id: newId(), createdAt: new Date(now) }
  const timing = { id, createdAt, jitterMs, rule }
  const recurrence = openRule(timing)
  refuseWideJitter(timing, recurrence, new Date(now))
  const next = nextFiring(timing, recurrence, new Date(now))
  if (!known && !next.nextAt) throw new RecurrenceError('endsAt', 'leaves no occurrence: the schedule would never fire')
  return upsertSchedule(sql, { ...timing, ...run, missed, missedMax, overlap, tenant, name, source, paused, next })
}
