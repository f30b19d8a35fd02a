import type { StreamEvent } from '@jobyard/db/stream'
import { wants, type Subscription } from '@jobyard/db/subscription'
import { terminalStatuses } from '@jobyard/db/statuses'

/** Which events a reader wants. */
export interface StreamFilter extends Subscription {
  readonly tenant: string
  /** The only job. */
  readonly jobId?: string | undefined
}

const ends = new Set(terminalStatuses.map((status) => `job.${status}`))

/** @returns whether a reader is to be given an event. */
export function isWanted(event: StreamEvent, filter: StreamFilter): boolean {
  return isInReach(event, filter) && wants(filter, event)
}

/** @returns whether nothing comes after this event for a reader: it ended the only job. */
export function isLastOne(event: StreamEvent, filter: StreamFilter): boolean {
  return filter.jobId !== undefined && isInReach(event, filter) && ends.has(event.type)
}

function isInReach({ tenant, jobId }: StreamEvent, filter: StreamFilter): boolean {
  return tenant === filter.tenant && (filter.jobId === undefined || filter.jobId === jobId)
}
