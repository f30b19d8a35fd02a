import type { Settlement } from '@jobyard/db/settle'
import { checkAnswers, outcomeOfAnswer } from './batch-answers.ts'
import { BatchTransaction, type TransactionJob } from './batch-transaction.ts'
import { logAttempt } from './attempt-log.ts'
import type { BatchContext, BatchHandler } from './define-handler.ts'
import { parseInput } from './handler-io.ts'
import { decide, outcomeOfAbort, outcomeOfThrown, retryAfterInterruption, type AttemptOutcome } from './outcome.ts'
import { JobAbortedError, type Run } from './ownership.ts'
import type { AttemptDependencies } from './run-attempt.ts'
import { RunContext } from './run-context.ts'

/**
 * Runs claimed jobs of one type with one call of their handler: validates, calls it, decides for each job, settles all of them.
 * A job whose time is up, or that is cancelled or taken away, is settled on its own meanwhile. Never throws.
 *
 * @returns once the handler has ended and everything is settled.
 */
export async function runBatch(runs: readonly Run[], handler: BatchHandler, deps: AttemptDependencies): Promise<void> {
  const batch = new RunningBatch(handler, deps)
  batch.admit(runs)
  batch.watch()
  const outcomes = await batch.call()
  await batch.settle(outcomes)
}

/** A job of a running batch. */
class Member extends RunContext implements TransactionJob {
  readonly input: unknown
  /** False once it is settled on its own: the batch's answer does not count then. */
  open = true

  constructor(run: Run, input: unknown, { progress, log }: AttemptDependencies) {
    super(run, progress, log)
    this.input = input
  }
}

class RunningBatch {
  readonly #handler: BatchHandler
  readonly #deps: AttemptDependencies
  readonly #startedAt = performance.now()
  readonly #stop = new AbortController()
  readonly #tx: BatchTransaction
  readonly #members: Member[] = []
  /** Settlements of jobs that did not wait for the batch. */
  readonly #left: Promise<void>[] = []
  #wanted = 0
  #timer: NodeJS.Timeout | undefined

  constructor(handler: BatchHandler, deps: AttemptDependencies) {
    this.#handler = handler
    this.#deps = deps
    this.#tx = new BatchTransaction(deps.transactions, handler.contract, this.#stop.signal, deps.tells)
  }

  /** Lets in what the handler can be called with, and settles the others. */
  admit(runs: readonly Run[]): void {
    const { input } = this.#handler.contract
    for (const run of runs) {
      try {
        if (run.abortCause) this.#left.push(this.#settleAborted(run))
        else this.#members.push(new Member(run, parseInput(input, run.job.input), this.#deps))
      } catch (thrown) {
        this.#left.push(this.#settle([{ run, ended: outcomeOfThrown(thrown) }]))
      }
    }
    this.#wanted = this.#members.length
    Object.freeze(this.#members) // answers go by this order
  }

  /** Listens to what aborts single jobs, and times them out. */
  watch(): void {
    for (const member of this.#members) member.run.onAbort(() => this.#leave(member))
    this.#timeOut()
  }

  /** @returns how the attempts ended, in the order of the jobs. */
  async call(): Promise<AttemptOutcome[]> {
    if (this.#wanted === 0) return []
    const { log } = this.#deps
    const { contract } = this.#handler
    const jobs = this.#members
    const ctx: BatchContext = {
      signal: this.#stop.signal,
      log: log.child({ type: contract.type, jobs: jobs.length }),
      transaction: (work) => this.#tx.execute(() => jobs.filter(({ open }) => open), work),
    }
    try {
      const answers = await this.#handler.runBatch(jobs, ctx)
      if (this.#tx.settled) return []
      return Array.from(checkAnswers(answers, jobs.length), (answer) => this.#outcomeOf(answer))
    } catch (thrown) {
      const failed = outcomeOfThrown(thrown)
      return jobs.map(() => failed)
    }
  }

  /** Settles the jobs that have waited for the handler. */
  async settle(outcomes: readonly AttemptOutcome[]): Promise<void> {
    await this.#tx.unlocked() // of a transaction that the handler did not wait for
    clearTimeout(this.#timer)
    const attempts: Ended[] = []
    this.#members.forEach((member, index) => {
      if (!member.open) return
      member.open = false
      const ended = outcomes[index]
      if (!this.#endedInTransaction(member.run) && ended) attempts.push({ run: member.run, ended })
    })
    await Promise.all([this.#settle(attempts), ...this.#left])
  }

  #outcomeOf(answer: unknown): AttemptOutcome {
    try {
      return outcomeOfAnswer(this.#handler.contract.output, answer)
    } catch (thrown) {
      return outcomeOfThrown(thrown)
    }
  }

  /** Times out the jobs whose time is up; one timer serves the whole batch. */
  #timeOut(): void {
    const elapsedMs = performance.now() - this.#startedAt
    let nextMs = Number.POSITIVE_INFINITY
    for (const { open, run } of this.#members) {
      if (!open) continue
      if (run.job.timeoutMs <= elapsedMs) run.abort('timed_out')
      else nextMs = Math.min(nextMs, run.job.timeoutMs)
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.#timeOut(), nextMs - elapsedMs)
  }

  /** An aborted job does not wait for the batch. */
  #leave(member: Member): void {
    if (!member.open) return
    member.open = false
    this.#wanted -= 1
    if (this.#wanted === 0) this.#stop.abort(new JobAbortedError(member.run.abortCause ?? 'lost'))
    this.#left.push(this.#settleAborted(member.run))
  }

  async #settleAborted(run: Run): Promise<void> {
    await this.#tx.unlocked()
    if (this.#endedInTransaction(run)) return
    const ended = outcomeOfAbort(run.abortCause)
    if (ended) await this.#settle([{ run, ended }])
    else this.#end(run, ended, run.abortCause ?? 'lost')
  }

  /** @returns whether a transaction has been committed, so that a job is either settled by it or owned by somebody else. */
  #endedInTransaction(run: Run): boolean {
    const { settled } = this.#tx
    if (!settled) return false
    const { ended, status = 'fenced' } = settled.get(run.job.id) ?? {}
    this.#end(run, ended, status)
    return true
  }

  async #settle(attempts: readonly Ended[]): Promise<void> {
    if (attempts.length === 0) return
    const { settlements, log } = this.#deps
    const decided = attempts.map(({ run, ended }) => this.#decide(run, ended))
    const settled = await settlements.settleAll(decided).catch((error: unknown) => {
      log.error({ err: error, jobs: attempts.length }, 'Outcomes could not be recorded; the jobs will run again')
    })
    attempts.forEach(({ run, ended }, index) => {
      this.#end(run, ended, settled ? (settled[index]?.status ?? this.#unsettled(run)) : 'lost')
    })
  }

  /** @returns why a settlement changed nothing. */
  #unsettled({ job }: Run): string {
    return this.#tx.settled?.get(job.id)?.status ?? (this.#tx.interrupted ? 'unknown' : 'fenced')
  }

  #decide(run: Run, ended: AttemptOutcome): Settlement {
    if (this.#tx.interrupted && ended.outcome === 'failed') return retryAfterInterruption(run.job)
    return decide(run.job, ended, this.#handler.contract.retry)
  }

  #end(run: Run, ended: AttemptOutcome | undefined, status: string): void {
    this.#deps.ownership.forget(run)
    this.#deps.onEvent?.()
    logAttempt(this.#deps.log, { run, ended, status, durationMs: performance.now() - this.#startedAt })
  }
}

interface Ended {
  readonly run: Run
  readonly ended: AttemptOutcome
}
