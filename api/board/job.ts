import type { BoardJobRow, BoardLane } from '@jobyard/db/board'
import { previewLimit } from '@jobyard/db/board'
import type { AttemptRow } from '@jobyard/db/jobs'
import type { JobError } from '@jobyard/db/settle'
import type { JobStatus } from '@jobyard/db/statuses'
import type { JobActions } from '../job-actions.ts'

/** The tabs of Bull Board that the record fills. */
export type BoardTab = 'waiting' | 'active' | 'delayed' | 'completed' | 'failed'

const tabs = {
  scheduled: 'delayed',
  queued: 'waiting',
  running: 'active',
  retrying: 'delayed',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'failed',
} as const satisfies Record<JobStatus, BoardTab>

/** The list of the record behind each tab. */
export const laneOfTab = {
  waiting: 'queued',
  active: 'running',
  delayed: 'due',
  completed: 'completed',
  failed: 'failed',
} as const satisfies Record<BoardTab, BoardLane>

/**
 * A job of the record in Bull Board's shape. Its buttons do what the API does. A job that ended without having started has no
 * `finishedOn`, since Bull Board would count its duration from 1970.
 */
export class BoardJob {
  readonly id: string
  readonly opts: Record<string, unknown> & { readonly delay?: number }
  readonly #row: BoardJobRow
  readonly #attempts: readonly AttemptRow[]
  readonly #actions: JobActions

  /** @param attempts those that did not simply complete; none in lists. */
  constructor(row: BoardJobRow, attempts: readonly AttemptRow[], actions: JobActions) {
    this.id = row.id
    this.opts = optionsOf(row)
    this.#row = row
    this.#attempts = attempts
    this.#actions = actions
  }

  /** Runs a scheduled or retrying job now. @throws Problem `not-found` or `conflict`. */
  async promote(): Promise<void> {
    await this.#actions.promote(this.#row.tenant, this.id)
  }

  /** Makes a new job of a failed or cancelled one. @throws Problem `not-found` or `conflict`. */
  async retry(): Promise<void> {
    await this.#actions.redrive(this.#row.tenant, this.id)
  }

  /** Cancels the job; the record keeps it. @throws Problem `not-found` or `conflict`. */
  async remove(): Promise<void> {
    await this.#actions.cancel(this.#row.tenant, this.id)
  }

  /** @returns the tab that the job belongs to. */
  async getState(): Promise<BoardTab> {
    return tabs[this.#row.status]
  }

  /** @returns what Bull Board shows; instants in milliseconds since 1970, progress 0 to 100. */
  toJSON() {
    const row = this.#row
    const delay = delayOf(row)
    return {
      id: row.id,
      name: row.type,
      timestamp: row.createdAt.getTime(),
      processedOn: row.startedAt?.getTime() ?? null,
      processedBy: row.workerHost === null ? null : `${row.workerHost}, process ${row.workerPid}`,
      finishedOn: row.startedAt && row.finishedAt ? row.finishedAt.getTime() : null,
      progress: progressOf(row),
      attemptsMade: row.attemptsMade,
      ...(delay !== undefined && { delay }),
      ...(row.priority > 0 && { priority: row.priority }),
      ...(row.crashes > 0 && { stalledCounter: row.crashes }),
      failedReason: failureOf(row),
      stacktrace: describeFailures(row, this.#attempts),
      data: previewOf(row.input, row.inputBytes),
      returnvalue: row.outputBytes === null ? null : previewOf(row.output, row.outputBytes),
      opts: this.opts,
    }
  }
}

/** Everything about a job that has no place of its own on the page, in the words of the API. */
function optionsOf(row: BoardJobRow): BoardJob['opts'] {
  const delay = delayOf(row)
  return {
    status: row.status,
    queue: row.queue,
    priority: row.priority,
    maxAttempts: row.maxAttempts,
    attemptsMade: row.attemptsMade,
    crashes: row.crashes,
    claims: row.epoch,
    timeoutMs: row.timeoutMs,
    ...(row.runAt && { runAt: row.runAt.toISOString() }),
    ...(delay !== undefined && { delay }),
    ...(row.expiresAt && { expiresAt: row.expiresAt.toISOString() }),
    ...(row.cancelRequestedAt && { cancelRequestedAt: row.cancelRequestedAt.toISOString() }),
    ...(row.finishedAt && { finishedAt: row.finishedAt.toISOString() }),
    ...(row.deduplicationKey !== null && { deduplicationKey: row.deduplicationKey }),
    ...(row.redriveOf && { redriveOf: row.redriveOf }),
    ...(row.redrivenAs && { redrivenAs: row.redrivenAs }),
    tags: row.tags,
    metadata: row.metadata,
    tenant: row.tenant,
    ...(row.internal && { internal: true }),
  }
}

/** Bull Board adds this to the time of acceptance to say when a job will run. */
function delayOf(row: BoardJobRow): number | undefined {
  const due = row.status === 'scheduled' || row.status === 'retrying'
  return due && row.runAt ? Math.max(1, row.runAt.getTime() - row.createdAt.getTime()) : undefined
}

function progressOf({ status, progress, progressNote }: BoardJobRow): number | { progress: number; note: string } {
  if (progress === null) return 0
  const percent = status === 'completed' ? 100 : Math.round(progress * 100)
  return progressNote === null ? percent : { progress: percent, note: progressNote }
}

function failureOf({ status, error, attemptsMade, startedAt }: BoardJobRow): string {
  if (status === 'cancelled') {
    const before = error ? `, after ${sentenceOf(error)}` : ''
    return startedAt ? `cancelled${before}` : 'cancelled before it started'
  }
  if (!error) return ''
  return status === 'failed' ? sentenceOf(error) : `attempt ${attemptsMade} ended with ${sentenceOf(error)}`
}

/** @returns the reason for programs and the message for people, in one line. */
export function sentenceOf({ reason, message }: JobError): string {
  return `${reason}: ${message}`
}

/** Every failed attempt, oldest first, and why the job ended where that is another reason; none when no attempt is known. */
function describeFailures(row: BoardJobRow, attempts: readonly AttemptRow[]): string[] {
  const failed = attempts.flatMap(({ attempt, outcome, error, finishedAt }) =>
    error ? [{ reason: sentenceOf(error), place: `attempt ${attempt}, ${outcome}, ${finishedAt.toISOString()}` }] : [],
  )
  const lines = failed.map(({ reason, place }) => `${reason}\n    at ${place}`)
  const reason = failureOf(row)
  const isNews = row.finishedAt && lines.length > 0 && reason !== '' && reason !== failed.at(-1)?.reason
  return isNews ? [...lines, `${reason}\n    at the end of the job, ${row.finishedAt?.toISOString()}`] : lines
}

function previewOf(value: unknown, bytes: number): unknown {
  const leftOut = value === null && bytes > previewLimit
  return leftOut ? { leftOut: `${bytes.toLocaleString('en')} bytes; open the job to see them` } : value
}
