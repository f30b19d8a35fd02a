import type { Sql } from './connect.ts'
import type { EndpointRow } from './endpoints.ts'
import { readStream, type StreamEvent } from './stream.ts'

/** Events that an endpoint gets which names none: those that end jobs. */
export const usualEvents: readonly string[] = ['job.completed', 'job.failed', 'job.cancelled']
/** Events that are of no job. */
export const platformEvents: readonly string[] = ['endpoint.disabled', 'schedule.missed']

/** What an endpoint, or the reader of a stream, wants to hear of. */
export interface Subscription {
  /** Event types; those that end jobs when empty. */
  readonly events: readonly string[]
  /** Job types; all when empty. */
  readonly jobTypes: readonly string[]
  /** Tags of which the job has one; any job when empty. */
  readonly tags: readonly string[]
}

/** @returns whether an event is to be delivered. Filters by job let no event through that is of no job, or of one that is gone. */
export function wants({ events, jobTypes, tags }: Subscription, { type, job }: StreamEvent): boolean {
  return (
    (events.length === 0 ? usualEvents : events).includes(type) &&
    (jobTypes.length === 0 || (job !== null && jobTypes.includes(job.type))) &&
    (tags.length === 0 || (job !== null && job.tags.some((tag) => tags.includes(tag))))
  )
}

/** Positions that one statement looks at when events are counted. */
const countPage = 1_000

/** What a replay would deliver. */
export interface ReplayPreview {
  readonly events: number
  /** False when there are more positions than were looked at, so that there may be more events. */
  readonly complete: boolean
}

/**
 * Counts the events that a replay would deliver to an endpoint.
 *
 * @param after position after which it would begin.
 * @param lookAt positions at most.
 */
export async function countReplay(
  sql: Sql,
  endpoint: EndpointRow,
  after: number,
  lookAt = 100_000,
): Promise<ReplayPreview> {
  const { tenant, cursor } = endpoint
  const end = Math.min(cursor, after + lookAt)
  let events = 0
  for (let at = after; at < end;) {
    const page = await readStream(sql, { after: at, limit: Math.min(countPage, end - at), tenant })
    if (page.through === at) break
    events += page.events.filter((event) => wants(endpoint, event)).length
    at = page.through
  }
  return { events, complete: end === cursor }
}
