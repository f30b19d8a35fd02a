import type { ClaimedJob } from '@jobyard/db/claim'
import type { JobError, OwnSnooze, Settlement } from '@jobyard/db/settle'
import type { RetryPolicy } from '@jobyard/queues/define-job'
import { PermanentError, RetryError, SnoozeError } from '@jobyard/queues/errors'
import { retryDelayMs } from '@jobyard/queues/retry-policy'
import type { AbortCause } from './ownership.ts'

/** How an attempt ended, before it is decided what the job becomes. */
export type AttemptOutcome =
  | { readonly outcome: 'completed'; readonly output: string }
  | {
      readonly outcome: 'failed'
      readonly error: JobError
      readonly permanent: boolean
      /** Wait that the handler wished for, in milliseconds. */
      readonly delayMs?: number
    }
  | { readonly outcome: 'timed_out' }
  | { readonly outcome: 'cancelled' }
  | { readonly outcome: 'snoozed'; readonly delayMs: number; readonly error?: JobError }

/** Thrown when what a handler of batches answered cannot be matched with its jobs, or not be committed. */
export class BatchAnswerError extends Error {
  override readonly name = 'BatchAnswerError'
  readonly reason = 'batch_answer_invalid'
}

/** Characters of an error's message that are kept. */
const messageLimit = 2_000

/** Characters of an error's reason that are kept. */
const reasonLimit = 100
/** Characters of JSON of an error's detail that are kept. */
const detailLimit = 8_192
/** Longest snooze or wait that a handler wishes for, in milliseconds: ten years. */
const longestSnoozeMs = 315_576_000_000

/** Turns whatever a handler threw, be it null or hostile, into an outcome. Never throws. */
export function outcomeOfThrown(thrown: unknown): AttemptOutcome {
  try {
    if (thrown instanceof SnoozeError) return outcomeOfSnooze(thrown)
    const permanent = thrown instanceof PermanentError
    const telling = permanent || thrown instanceof RetryError
    const named = telling || thrown instanceof BatchAnswerError
    const reason = named ? reasonOf(thrown) : 'error'
    const error = { reason, message: messageOf(thrown), ...(telling && detailOf(thrown.detail)) }
    return { outcome: 'failed', permanent, error, ...(thrown instanceof RetryError && wishedDelay(thrown.delayMs)) }
  } catch {
    return { outcome: 'failed', permanent: false, error: { reason: 'error', message: unreadable } }
  }
}

/** @returns undefined when the row is no longer ours to settle. */
export function outcomeOfAbort(cause: AbortCause | undefined): AttemptOutcome | undefined {
  return cause === 'timed_out' || cause === 'cancelled' ? { outcome: cause } : undefined
}

function outcomeOfSnooze(thrown: SnoozeError): AttemptOutcome {
  const { delayMs, reason } = thrown
  if (Number.isFinite(delayMs)) {
    const error = reason === undefined ? undefined : { reason: reasonOf({ reason }), message: messageOf(thrown) }
    return { outcome: 'snoozed', delayMs: Math.min(Math.max(delayMs, 0), longestSnoozeMs), ...(error && { error }) }
  }
  const message = `SnoozeError needs a delay in milliseconds, and got ${delayMs}`
  return { outcome: 'failed', permanent: true, error: { reason: 'snooze_invalid', message } }
}

function wishedDelay(delayMs: number | undefined): { delayMs?: number } {
  return Number.isFinite(delayMs) ? { delayMs: Math.min(Math.max(Number(delayMs), 0), longestSnoozeMs) } : {}
}

/** The detail as it will be stored; nothing where it is no JSON or too long. */
function detailOf(detail: unknown): { detail?: unknown } {
  try {
    const text = detail === undefined ? undefined : JSON.stringify(detail)
    return text !== undefined && text.length <= detailLimit ? { detail: JSON.parse(text) as unknown } : {}
  } catch {
    return {}
  }
}

const unreadable = 'The handler threw something that cannot be read'

function reasonOf({ reason }: { readonly reason: unknown }): string {
  return String(reason).slice(0, reasonLimit)
}

function messageOf(thrown: unknown): string {
  try {
    const text = thrown instanceof Error ? String(thrown.message || thrown.name) : `The handler threw ${String(thrown)}`
    return text.length > messageLimit ? `${text.slice(0, messageLimit)}…` : text
  } catch {
    return unreadable
  }
}

/**
 * Decides what a job becomes by the outcome of its attempt.
 *
 * @param policy of the job's contract; how many attempts there are stands in the job itself.
 * @param random uniform in [0, 1), for the jitter of the wait.
 */
export function decide(job: ClaimedJob, ended: AttemptOutcome, policy: RetryPolicy, random?: number): Settlement {
  const { id, epoch } = job
  switch (ended.outcome) {
    case 'completed':
      return { id, epoch, outcome: 'completed', status: 'completed', output: ended.output }
    case 'cancelled':
      return { id, epoch, outcome: 'cancelled', status: 'cancelled' }
    case 'snoozed':
      return {
        id,
        epoch,
        outcome: 'snoozed',
        status: 'retrying',
        delayMs: ended.delayMs,
        ...(ended.error && { error: ended.error }),
      }
    case 'timed_out':
    case 'failed': {
      const error = ended.outcome === 'failed' ? ended.error : timeOutError(job.timeoutMs)
      const attempt = job.attemptsMade + 1
      const final = attempt >= job.maxAttempts || (ended.outcome === 'failed' && ended.permanent)
      if (final) return { id, epoch, outcome: ended.outcome, status: 'failed', error }
      return {
        id,
        epoch,
        outcome: ended.outcome,
        status: 'retrying',
        error,
        delayMs: (ended.outcome === 'failed' ? ended.delayMs : undefined) ?? retryDelayMs(policy, attempt, random),
      }
    }
  }
}

/** If a commit landed, this settlement finds the job ended and changes nothing; if not, the job runs again, at no cost. */
export function retryAfterInterruption({ id, epoch }: ClaimedJob): Settlement {
  const reason: OwnSnooze = 'transaction_interrupted'
  const error = { reason, message: 'Postgres was lost, or had trouble, in ctx.transaction.' }
  return { id, epoch, outcome: 'snoozed', status: 'retrying', delayMs: 0, error }
}

function timeOutError(timeoutMs: number): JobError {
  return { reason: 'timed_out', message: `The handler did not finish within ${timeoutMs} ms.` }
}
