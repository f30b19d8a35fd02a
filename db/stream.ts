import type { Sql } from './connect.ts'

/** What an event tells of its job, as it stands when it is read. */
export interface StreamJob {
  readonly id: string
  readonly type: string
  readonly queue: string
  readonly status: string
  readonly tags: readonly string[]
  readonly attemptsMade: number
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  /** Why it failed. */
  readonly error: unknown
  /** JSON text of the output, for those who ask for it; null where there is none, or it is longer than they want. */
  readonly output: string | null
}

/** One event of the stream. */
export interface StreamEvent {
  readonly position: number
  readonly id: string
  readonly tenant: string
  readonly type: string
  readonly occurredAt: Date
  /** Number of the event among those of its job, from 1. */
  readonly sequence: number
  /** Null for events that are of no job, and of jobs that were pruned. */
  readonly job: StreamJob | null
  /** Of events that do not end a job. */
  readonly data: unknown
}

/** First and last position that can be read: who has read less far than `tail` has missed something. */
export interface StreamEnds {
  readonly head: number
  readonly tail: number
}

/** @returns the ends of the stream. */
export async function readStreamEnds(sql: Sql): Promise<StreamEnds> {
  const [row] = await sql<{ head: string; tail: string }[]>`select head, tail from stream`
  return { head: Number(row?.head ?? 0), tail: Number(row?.tail ?? 0) }
}
