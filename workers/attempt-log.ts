import type { Logger } from 'pino'
import type { AttemptOutcome } from './outcome.ts'
import type { Run } from './ownership.ts'

/** How an attempt ended, as far as this process knows. */
export interface EndedAttempt {
  readonly run: Run
  /** Undefined when the row was no longer ours to settle. */
  readonly ended: AttemptOutcome | undefined
  /** What the job became, or why the outcome was discarded. */
  readonly status: string
  readonly durationMs: number
}

/** Writes the one line of an attempt. */
export function logAttempt(log: Logger, { run, ended, status, durationMs }: EndedAttempt): void {
  if (!log.isLevelEnabled('info')) return
  const { id, type, queue, tenant, epoch, attemptsMade, waitedMs } = run.job
  log.info(
    {
      jobId: id,
      type,
      queue,
      tenant,
      attempt: attemptsMade + 1,
      epoch,
      outcome: ended?.outcome ?? run.abortCause,
      status,
      durationMs: Math.round(durationMs),
      waitedMs,
      ...(ended && 'error' in ended && { error: ended.error }),
    },
    'attempt',
  )
}
