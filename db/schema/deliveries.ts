import { bigint, index, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** Which job brings which event to which endpoint. Its attempts and its outcome are the job's. */
export const deliveries = pgTable(
  'deliveries',
  {
    jobId: uuid('job_id').primaryKey(),
    tenant: text('tenant').notNull(),
    endpointId: uuid('endpoint_id').notNull(),
    eventId: uuid('event_id').notNull(),
    eventType: text('event_type').notNull(),
    /** Position of the event in the stream; null for tests. */
    position: bigint('position', { mode: 'number' }),
    createdAt: timestamp('created_at', { withTimezone: true, mode: 'date' }).notNull(),
    /** When somebody last had it made again. */
    redeliveredAt: timestamp('redelivered_at', { withTimezone: true, mode: 'date' }),
  },
  (delivery) => [
    index('deliveries_by_endpoint').on(delivery.endpointId, delivery.jobId),
    index('deliveries_by_tenant').on(delivery.tenant, delivery.jobId),
    index('deliveries_by_event').on(delivery.eventId),
  ],
)
