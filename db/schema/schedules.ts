import { sql } from 'drizzle-orm'
import {
  boolean,
  index,
  integer,
  json,
  pgTable,
  smallint,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import type { ScheduleRule } from '../schedules.ts'

const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })

/** Recurring rules, each with the job that it makes and when it fires next. */
export const schedules = pgTable(
  'schedules',
  {
    id: uuid('id').primaryKey(),
    tenant: text('tenant').notNull(),
    name: text('name').notNull(),
    /** `file` when it belongs to the schedules file, otherwise `api`. */
    source: text('source').notNull(),
    /** Counts the changes, so that nobody moves it on by an old rule. */
    version: integer('version').notNull().default(1),
    rule: json('rule').notNull().$type<ScheduleRule>(),
    /** By how much an occurrence may be late on purpose, in milliseconds. */
    jitterMs: integer('jitter_ms').notNull(),
    /** What becomes of occurrences that nobody could fire in time: `skip`, `once` or `all`, of which so many. */
    missed: text('missed').notNull(),
    missedMax: integer('missed_max').notNull(),
    /** What becomes of an occurrence while the run before is unfinished: `allow`, `skip` or `cancel-previous`. */
    overlap: text('overlap').notNull(),
    paused: boolean('paused').notNull(),
    type: text('type').notNull(),
    queue: text('queue').notNull(),
    input: json('input').notNull(),
    priority: smallint('priority').notNull(),
    tags: text('tags').array().notNull(),
    metadata: json('metadata').notNull(),
    maxAttempts: integer('max_attempts').notNull(),
    timeoutMs: integer('timeout_ms').notNull(),
    /** The occurrence that comes next, by the rule; null when there is none. */
    nextAt: instant('next_at'),
    /** When it is to be fired: later than `next_at` by the jitter; null while nothing is to be fired. */
    dueAt: instant('due_at'),
    lastJobId: uuid('last_job_id'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (schedule) => [
    uniqueIndex('schedules_by_name').on(schedule.tenant, schedule.name),
    index('schedules_due')
      .on(schedule.dueAt)
      .where(sql`due_at is not null`),
  ],
)
