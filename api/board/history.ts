import type { BoardJobRow } from '@jobyard/db/board'
import type { AttemptRow } from '@jobyard/db/jobs'
import type { Outcome } from '@jobyard/db/statuses'
import { sentenceOf } from './job.ts'

interface Event {
  readonly at: Date
  readonly text: string
}

/**
 * Tells the life of a job from what the record holds.
 *
 * @param attempts those that did not simply complete, in order.
 * @returns one line per event, each beginning with its RFC 3339 instant; the latest progress, whose instant is not kept, comes last.
 */
export function tellHistory(job: BoardJobRow, attempts: readonly AttemptRow[]): string[] {
  const events = [
    accepted(job, attempts),
    ...attempts.flatMap((attempt) => tellAttempt(attempt, job.finishedAt)),
    ...tellPresent(job),
  ]
  const lines = events
    .toSorted((a, b) => a.at.getTime() - b.at.getTime())
    .map(({ at, text }) => `${at.toISOString()} ${text}`)
  return [...lines, ...tellProgress(job)]
}

function accepted(job: BoardJobRow, attempts: readonly AttemptRow[]): Event {
  const origin = job.redriveOf ? `Accepted as a redrive of ${job.redriveOf}` : 'Accepted'
  const start = job.runAt && attempts.length === 0 ? `, to run at ${job.runAt.toISOString()}` : ''
  const end = job.expiresAt ? `, to expire unless it has started by ${job.expiresAt.toISOString()}` : ''
  return { at: job.createdAt, text: `${origin}${start}${end}.` }
}

/** @param jobEnd read from the clock just before the end of the attempt that ended the job, which yet comes first. */
function tellAttempt(attempt: AttemptRow, jobEnd: Date | null): Event[] {
  const name = `Attempt ${attempt.attempt}`
  const tookMs = attempt.finishedAt.getTime() - attempt.startedAt.getTime()
  const error = attempt.error ? ` ${sentenceOf(attempt.error)}` : ''
  const where = attempt.workerId ? ` Worker process ${attempt.workerId}.` : ''
  const end = jobEnd && jobEnd < attempt.finishedAt ? jobEnd : attempt.finishedAt
  return [
    { at: attempt.startedAt, text: `${name} started.` },
    { at: end, text: `${name} ${endings[attempt.outcome]} after ${formatMs(tookMs)}.${error}${where}` },
  ]
}

const endings: Record<Outcome, string> = {
  completed: 'completed',
  failed: 'failed',
  timed_out: 'timed out',
  cancelled: 'was aborted by a cancellation',
  snoozed: 'was snoozed, which spends no attempt,',
  handed_back: 'was handed back by a worker that stopped, which spends no attempt,',
  crashed: 'was lost with its worker process, which counts as a crash,',
}

function tellPresent(job: BoardJobRow): Event[] {
  return [...tellCancellation(job), ...tellStatus(job)]
}

function tellCancellation(job: BoardJobRow): Event[] {
  return job.cancelRequestedAt ? [{ at: job.cancelRequestedAt, text: 'Cancellation was asked for.' }] : []
}

function tellStatus(job: BoardJobRow): Event[] {
  switch (job.status) {
    case 'queued':
      return job.ticketedAt ? [{ at: job.ticketedAt, text: 'Queued: waits for a worker.' }] : []
    case 'running':
      return job.startedAt
        ? [{ at: job.startedAt, text: `Attempt ${job.attemptsMade + 1} started${placeOf(job)}.` }]
        : []
    case 'retrying':
      return job.runAt ? [{ at: job.runAt, text: `Attempt ${job.attemptsMade + 1} becomes due.` }] : []
    case 'completed':
      return tellCompletion(job)
    case 'failed':
      return job.finishedAt
        ? [{ at: job.finishedAt, text: `Failed.${job.error ? ` ${sentenceOf(job.error)}` : ''}` }]
        : []
    case 'cancelled':
      return job.finishedAt ? [{ at: job.finishedAt, text: 'Cancelled.' }] : []
    case 'scheduled':
      return []
  }
}

function tellCompletion({ startedAt, finishedAt, attemptsMade }: BoardJobRow): Event[] {
  if (!startedAt || !finishedAt) return []
  const tookMs = finishedAt.getTime() - startedAt.getTime()
  return [
    { at: startedAt, text: `Attempt ${attemptsMade} started.` },
    { at: finishedAt, text: `Attempt ${attemptsMade} completed after ${formatMs(tookMs)}.` },
  ]
}

function placeOf({ workerId, workerHost, workerPid }: BoardJobRow): string {
  if (workerHost !== null) return ` on ${workerHost}, process ${workerPid}`
  return workerId === null ? '' : ` on worker process ${workerId}, which has no heartbeat any more`
}

function tellProgress({ progress, progressNote }: BoardJobRow): string[] {
  if (progress === null) return []
  return [`Latest progress: ${Math.round(progress * 100)} %${progressNote === null ? '' : `, ${progressNote}`}`]
}

function formatMs(ms: number): string {
  return ms < 1_000 ? `${ms} ms` : `${(ms / 1_000).toLocaleString('en', { maximumFractionDigits: 1 })} s`
}
