import type { StreamEvent, StreamJob } from '@jobyard/db/stream'

/** Version of the shape below; it changes only when something a receiver may rely on does. */
const bodyVersion = 1

/** What receivers of an event are told, except for the output. */
export interface EventBody {
  readonly type: string
  readonly version: number
  /** When it happened, RFC 3339. */
  readonly timestamp: string
  readonly data: Readonly<Record<string, unknown>>
}

/** @returns the body of a webhook and of a message of a stream, without the output: ids, type, status, timings and a link. */
export function eventBody(event: StreamEvent): EventBody {
  const { type, occurredAt, jobId, job, sequence, data } = event
  return {
    type,
    version: bodyVersion,
    timestamp: occurredAt.toISOString(),
    data: {
      ...(jobId !== null && { ...describeJob(type, jobId, job), sequence, link: `/v1/jobs/${jobId}` }),
      ...(isRecord(data) && data),
    },
  }
}

/**
 * The same as JSON text. The output is put in as it is stored, so that no number in it changes.
 *
 * @param includeOutput whether to tell the output, where the event was read with it.
 */
export function eventJson(event: StreamEvent, { includeOutput }: { readonly includeOutput: boolean }): string {
  const text = JSON.stringify(eventBody(event))
  const output = includeOutput ? event.job?.output : undefined
  return output ? `${text.slice(0, -2)},"output":${output}}}` : text
}

/** Characters of an output that an event tells; a longer one is left out, and the link leads to it. */
export const eventOutputLimit = 65_536

/** What a job that is gone leaves is its id, and how it ended. */
function describeJob(type: string, id: string, job: StreamJob | null): Record<string, unknown> {
  if (!job) return { id, status: type.slice('job.'.length) }
  const { queue, status, tags, attemptsMade, createdAt, startedAt, finishedAt, error } = job
  return {
    id,
    type: job.type,
    queue,
    status,
    tags,
    attemptsMade,
    createdAt: createdAt.toISOString(),
    ...(startedAt && { startedAt: startedAt.toISOString() }),
    ...(finishedAt && { finishedAt: finishedAt.toISOString() }),
    ...(error && { error }),
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
