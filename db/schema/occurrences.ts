import { boolean, index, integer, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'

const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })

/** What became of each occurrence of a schedule. */
export const occurrences = pgTable(
  'occurrences',
  {
    scheduleId: uuid('schedule_id').notNull(),
    /** When it was to be, by the rule; when somebody asked for it, if it was made by hand. */
    at: instant('at').notNull(),
    manual: boolean('manual').notNull(),
    tenant: text('tenant').notNull(),
    /** `fired`, `overlapped` or `missed`. */
    outcome: text('outcome').notNull(),
    jobId: uuid('job_id'),
    /** Of a row that stands for several missed ones: the last of them, and how many; null when they were not counted. */
    through: instant('through'),
    count: integer('count'),
    recordedAt: instant('recorded_at').notNull(),
  },
  (occurrence) => [
    primaryKey({ columns: [occurrence.scheduleId, occurrence.at, occurrence.manual] }),
    index('occurrences_recorded').on(occurrence.recordedAt),
  ],
)
