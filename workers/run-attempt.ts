import type { Database } from '@jobyard/db/connect'
import { defaultRetryPolicy } from '@jobyard/queues/define-job'
import type { Settlement } from '@jobyard/db/settle'
import type { Logger } from 'pino'
import { z } from 'zod'
import type { Handler, HandlerContext } from './define-handler.ts'
import { parseInput, serializeOutput } from './handler-io.ts'
import { HandlerTransaction } from './handler-transaction.ts'
import { decide, outcomeOfThrown, type AttemptOutcome } from './outcome.ts'
import type { Ownership, Run } from './ownership.ts'
import type { ProgressReports } from './progress-reports.ts'
import type { Settlements } from './settlements.ts'

export interface AttemptDependencies {
  readonly handlers: ReadonlyMap<string, Handler>
  readonly ownership: Ownership
  readonly settlements: Settlements
  readonly progress: ProgressReports
  readonly transactions: Database['transactions']
  readonly log: Logger
}

/** Wait of a job whose type this process does not know, in milliseconds: another version of the platform may. */
const unknownTypeDelayMs = 10_000

/**
 * Runs one claimed job: validates, calls the handler under its time-out, decides, settles, writes the one log line.
 * Never throws.
 *
 * @returns once the handler has ended, which may be after its job was settled: a handler that ignores its signal keeps its slot.
 */
export async function runAttempt(run: Run, deps: AttemptDependencies): Promise<void> {
  const started = performance.now()
  const handler = deps.handlers.get(run.job.type)
  const tx = new HandlerTransaction(deps.transactions, run, (output) =>
    serializeOutput(handler?.contract.output ?? z.unknown(), output),
  )
  const handled = handler ? callHandler(handler, run, tx, deps) : unknownType(run)
  const ended = await firstOf(run, handled, run.job.timeoutMs)
  const settled = await settle(run, ended, tx, handler, deps).catch((error: unknown) => {
    deps.log.error({ err: error, jobId: run.job.id }, 'An outcome could not be recorded; the job will run again')
    return 'lost'
  })
  deps.ownership.forget(run)
  logAttempt(deps.log, run, ended, settled, performance.now() - started)
  await handled
}

async function callHandler(
  handler: Handler,
  run: Run,
  tx: HandlerTransaction,
  deps: AttemptDependencies,
): Promise<AttemptOutcome> {
  try {
    const input = parseInput(handler.contract.input, run.job.input)
    const output = await handler.run(input, createContext(run, tx, deps))
    return { outcome: 'completed', output: serializeOutput(handler.contract.output, output) }
  } catch (thrown) {
    return outcomeOfThrown(thrown)
  }
}

function createContext(run: Run, tx: HandlerTransaction, deps: AttemptDependencies): HandlerContext {
  const { id, tenant, type, epoch, attemptsMade } = run.job
  const attempt = attemptsMade + 1
  return {
    signal: run.signal,
    jobId: id,
    tenant,
    attempt,
    log: deps.log.child({ jobId: id, type, attempt }),
    progress: (fraction, note) => deps.progress.report({ id, epoch, fraction, note: note ?? null }),
    transaction: (work) => tx.execute(work),
  }
}

async function unknownType(run: Run): Promise<AttemptOutcome> {
  const message = `This worker has no handler for ${run.job.type}; it tries again in case another one has.`
  return { outcome: 'snoozed', delayMs: unknownTypeDelayMs, error: { reason: 'no_handler', message } }
}

/** The handler's outcome, or what its abortion means if that comes first; undefined: the row is no longer ours to settle. */
async function firstOf(
  run: Run,
  handled: Promise<AttemptOutcome>,
  timeoutMs: number,
): Promise<AttemptOutcome | undefined> {
  const timer = setTimeout(() => run.abort('timed_out'), timeoutMs)
  let onAbort: (() => void) | undefined
  const aborted = new Promise<'aborted'>((resolve) => {
    onAbort = () => resolve('aborted')
    if (run.signal.aborted) onAbort()
    run.signal.addEventListener('abort', onAbort)
  })
  try {
    const first = await Promise.race([handled, aborted])
    return first === 'aborted' ? outcomeOfAbort(run) : first
  } finally {
    clearTimeout(timer)
    if (onAbort) run.signal.removeEventListener('abort', onAbort)
  }
}

function outcomeOfAbort({ abortCause }: Run): AttemptOutcome | undefined {
  switch (abortCause) {
    case 'timed_out':
    case 'cancelled':
      return { outcome: abortCause }
    case 'handed_back':
    case 'lost':
    case undefined:
      return undefined
  }
}

/** @returns the status the job has now, or why the outcome was discarded. */
async function settle(
  run: Run,
  ended: AttemptOutcome | undefined,
  tx: HandlerTransaction,
  handler: Handler | undefined,
  deps: AttemptDependencies,
): Promise<string> {
  if (tx.settled) return 'completed'
  if (!ended) return run.abortCause ?? 'lost'
  const policy = handler?.contract.retry ?? defaultRetryPolicy
  const interrupted = tx.unknown && ended.outcome === 'failed'
  const settlement = interrupted ? retryAfterLostConnection(run) : decide(run.job, ended, policy)
  const settled = await deps.settlements.settle(settlement)
  return settled?.status ?? (tx.settled || tx.unknown ? 'completed' : 'fenced')
}

/** If a commit landed, this settlement finds the job ended and changes nothing; if not, the job runs again, at no cost. */
function retryAfterLostConnection({ job }: Run): Settlement {
  const error = { reason: 'connection_lost', message: 'The connection to Postgres was lost in ctx.transaction.' }
  return { id: job.id, epoch: job.epoch, outcome: 'snoozed', status: 'retrying', delayMs: 0, error }
}

function logAttempt(
  log: Logger,
  run: Run,
  ended: AttemptOutcome | undefined,
  status: string,
  durationMs: number,
): void {
  const { id, type, queue, tenant, epoch, attemptsMade, createdAt, startedAt } = run.job
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
      waitedMs: startedAt.getTime() - createdAt.getTime(),
      ...(ended && 'error' in ended && { error: ended.error }),
    },
    'attempt',
  )
}
