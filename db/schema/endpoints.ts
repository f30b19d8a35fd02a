import { sql } from 'drizzle-orm'
import { bigint, boolean, index, integer, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })

/** Who is notified of what, and how far they have been. */
export const endpoints = pgTable(
  'endpoints',
  {
    id: uuid('id').primaryKey(),
    tenant: text('tenant').notNull(),
    url: text('url').notNull(),
    description: text('description').notNull().default(''),
    /** Event types; those that end jobs when empty. */
    events: text('events').array().notNull(),
    /** Job types; all when empty. */
    jobTypes: text('job_types').array().notNull(),
    /** Tags of which the job has one; any job when empty. */
    tags: text('tags').array().notNull(),
    /** Whether the body has the output, up to a size. */
    includeOutput: boolean('include_output').notNull().default(false),
    /** Further headers of each request, encrypted JSON; null when there are none. */
    headers: text('headers'),
    /** What signs, encrypted. */
    secret: text('secret').notNull(),
    /** What signed before it and signs beside it until `previous_secret_until`, encrypted. */
    previousSecret: text('previous_secret'),
    previousSecretUntil: instant('previous_secret_until'),
    /** Deliveries that may be queued or running at once. */
    maxInFlight: integer('max_in_flight').notNull(),
    /** Position in the stream up to which deliveries are made. */
    cursor: bigint('cursor', { mode: 'number' }).notNull(),
    /** A replay makes the deliveries after `replay_cursor` up to `replay_until` again, so many per second. */
    replayCursor: bigint('replay_cursor', { mode: 'number' }),
    replayUntil: bigint('replay_until', { mode: 'number' }),
    replayPerSecond: integer('replay_per_second'),
    replayedAt: instant('replayed_at'),
    /** When the first attempt failed since the last one that succeeded. */
    failingSince: instant('failing_since'),
    /** Attempts that failed since the last one that succeeded. */
    failures: integer('failures').notNull().default(0),
    /** The circuit is open: until then no delivery is made or sent. */
    openUntil: instant('open_until'),
    /** `null` while it is enabled, otherwise why it is not: `asked`, `gone` or `failing`. */
    disabledReason: text('disabled_reason'),
    disabledAt: instant('disabled_at'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (endpoint) => [
    index('endpoints_by_tenant').on(endpoint.tenant, endpoint.id),
    index('endpoints_enabled')
      .on(endpoint.id)
      .where(sql`disabled_at is null`),
  ],
)
