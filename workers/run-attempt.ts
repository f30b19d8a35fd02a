import type { Database } from '@jobyard/db/connect'
import type { OwnSnooze } from '@jobyard/db/settle'
import type { Tells } from '@jobyard/db/telling'
import { defaultRetryPolicy } from '@jobyard/queues/define-job'
import type { Logger } from 'pino'
import { z } from 'zod'
import { logAttempt } from './attempt-log.ts'
import type { HandlerContext, JobHandler } from './define-handler.ts'
import { parseInput, serializeOutput } from './handler-io.ts'
import { HandlerTransaction } from './handler-transaction.ts'
import { decide, outcomeOfAbort, outcomeOfThrown, retryAfterInterruption, type AttemptOutcome } from './outcome.ts'
import type { Ownership, Run } from './ownership.ts'
import type { ProgressReports } from './progress-reports.ts'
import { RunContext } from './run-context.ts'
import type { Settlements } from './settlements.ts'

export interface AttemptDependencies {
  readonly ownership: Ownership
  readonly settlements: Settlements
  readonly progress: ProgressReports
  readonly transactions: Database['transactions']
  /** Says which events are asked for. */
  readonly tells?: Tells
  /** Called when a job has ended, and with it an event is in the record. */
  readonly onEvent?: () => void
  readonly log: Logger
}

/** Wait of a job whose type this process does not know, in milliseconds: another version of the platform may. */
const unknownTypeDelayMs = 10_000

/**
 * Runs one claimed job: validates, calls the handler under its time-out, decides, settles, writes the one log line.
 * Never throws.
 *
 * @param handler undefined when this process has none for the job's type.
 * @returns once the handler has ended, so that its slot is free: its outcome may still be on its way to the record, or was
 *   settled before if the handler ignored its signal.
 */
export async function runAttempt(run: Run, handler: JobHandler | undefined, deps: AttemptDependencies): Promise<void> {
  const tx = new HandlerTransaction(deps.transactions, run, (output) =>
    serializeOutput(handler?.contract.output ?? z.unknown(), output),
  )
  const handled = handle(run, handler, tx, deps)
  const concluded = conclude(run, handled, tx, handler, deps)
  await handled
  if (deps.settlements.congested) await concluded
}

async function conclude(
  run: Run,
  handled: Promise<AttemptOutcome | undefined>,
  tx: HandlerTransaction,
  handler: JobHandler | undefined,
  deps: AttemptDependencies,
): Promise<void> {
  const started = performance.now()
  const ended = await firstOf(run, handled)
  const status = await settle(run, ended, tx, handler, deps).catch((error: unknown) => {
    deps.log.error({ err: error, jobId: run.job.id }, 'An outcome could not be recorded; the job will run again')
    return 'lost'
  })
  deps.ownership.forget(run)
  if (!handler?.contract.internal) deps.onEvent?.()
  logAttempt(deps.log, { run, ended, status, durationMs: performance.now() - started })
}

/** @returns undefined when the row is no longer ours to settle. */
async function handle(
  run: Run,
  handler: JobHandler | undefined,
  tx: HandlerTransaction,
  deps: AttemptDependencies,
): Promise<AttemptOutcome | undefined> {
  if (run.abortCause) return outcomeOfAbort(run.abortCause) // while it waited for its turn
  if (!handler) return unknownType(run)
  try {
    const input = parseInput(handler.contract.input, run.job.input)
    const output = await handler.run(input, new AttemptContext(run, tx, deps))
    return { outcome: 'completed', output: serializeOutput(handler.contract.output, output) }
  } catch (thrown) {
    return outcomeOfThrown(thrown)
  }
}

class AttemptContext extends RunContext implements HandlerContext {
  readonly transaction: HandlerContext['transaction']

  constructor(run: Run, tx: HandlerTransaction, { progress, log }: AttemptDependencies) {
    super(run, progress, log)
    this.transaction = (work) => tx.execute(work)
  }
}

function unknownType(run: Run): AttemptOutcome {
  const message = `This worker has no handler for ${run.job.type}; it tries again in case another one has.`
  const reason: OwnSnooze = 'no_handler'
  return { outcome: 'snoozed', delayMs: unknownTypeDelayMs, error: { reason, message } }
}

/** The handler's outcome, or what its abortion means if that comes first. */
function firstOf(run: Run, handled: Promise<AttemptOutcome | undefined>): Promise<AttemptOutcome | undefined> {
  return new Promise((resolve) => {
    const finish = (ended: AttemptOutcome | undefined) => {
      clearTimeout(timer)
      resolve(ended)
    }
    const timer = setTimeout(() => run.abort('timed_out'), run.job.timeoutMs)
    run.onAbort(() => finish(outcomeOfAbort(run.abortCause)))
    void handled.then(finish)
  })
}

/** @returns the status the job has now, or why the outcome was discarded. */
async function settle(
  run: Run,
  ended: AttemptOutcome | undefined,
  tx: HandlerTransaction,
  handler: JobHandler | undefined,
  deps: AttemptDependencies,
): Promise<string> {
  if (tx.settled) return 'completed'
  if (!ended) return run.abortCause ?? 'lost'
  const policy = handler?.contract.retry ?? defaultRetryPolicy
  const interrupted = tx.interrupted && ended.outcome === 'failed'
  const settlement = interrupted ? retryAfterInterruption(run.job) : decide(run.job, ended, policy)
  const settled = await deps.settlements.settle(settlement)
  return settled?.status ?? (tx.settled || tx.interrupted ? 'completed' : 'fenced')
}
