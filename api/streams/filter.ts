import type { StreamEvent } from '@jobyard/db/stream'
import { terminalStatuses } from '@jobyard/db/statuses'

/** Which events a reader wants: those of its tenant that pass every part that is there. */
export interface StreamFilter {
  readonly tenant: string
  /** Types of events. */
  readonly types?: readonly string[] | undefined
  /** Types of their jobs. */
  readonly jobTypes?: readonly string[] | undefined
  /** Tags of which their jobs have one. */
  readonly tags?: readonly string[] | undefined
  /** The only job. */
  readonly jobId?: string | undefined
}

const ends = new Set(terminalStatuses.map((status) => `job.${status}`))

/** @returns whether a reader wants an event. What is asked of jobs is not true of an event whose job is unknown. */
export function isWanted({ tenant, type, jobId, job }: StreamEvent, filter: StreamFilter): boolean {
  return (
    tenant === filter.tenant &&
    (filter.jobId === undefined || filter.jobId === jobId) &&
    (filter.types === undefined || filter.types.includes(type)) &&
    (filter.jobTypes === undefined || (job !== null && filter.jobTypes.includes(job.type))) &&
    (filter.tags === undefined || (job !== null && filter.tags.some((tag) => job.tags.includes(tag))))
  )
}

/** @returns whether nothing comes after this event for a reader: it ended the only job. */
export function isLastOne({ tenant, type, jobId }: StreamEvent, filter: StreamFilter): boolean {
  return filter.jobId !== undefined && filter.jobId === jobId && filter.tenant === tenant && ends.has(type)
}
