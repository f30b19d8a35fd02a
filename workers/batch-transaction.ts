import type { Sql } from '@jobyard/db/connect'
import { lockRuns } from '@jobyard/db/lock-runs'
import { settleAttempts } from '@jobyard/db/settle'
import { tellsNothing, type Tells } from '@jobyard/db/telling'
import type { TransactionPool } from '@jobyard/db/transaction'
import type { Contract } from '@jobyard/queues/define-job'
import { checkAnswers, outcomeOfAnswer } from './batch-answers.ts'
import type { BatchAnswers, BatchedJob } from './define-handler.ts'
import { FencedError } from './handler-transaction.ts'
import { interruptionBy, unlessInterrupted } from './interruption.ts'
import { BatchAnswerError, decide, type AttemptOutcome } from './outcome.ts'
import type { Run } from './ownership.ts'

/** A job of the batch as it is handed to the handler, and its run. */
export interface TransactionJob extends BatchedJob {
  readonly run: Run
}

/** How a job was settled by the transaction. */
export interface SettledInTransaction {
  readonly ended: AttemptOutcome
  readonly status: string
}

type Work = (sql: Sql, jobs: readonly BatchedJob[]) => Promise<BatchAnswers>

/** The one transaction a handler of batches may end with: its writes and the settlements of its jobs commit together, or neither. */
export class BatchTransaction {
  readonly #pool: TransactionPool
  readonly #contract: Contract
  readonly #signal: AbortSignal
  readonly #tells: Tells
  readonly #settled = new Map<string, SettledInTransaction>()
  readonly #over = Promise.withResolvers<void>()
  #state: 'unused' | 'waiting' | 'open' | 'rolled back' | 'settled' | 'interrupted' | 'unknown' = 'unused'

  /**
   * @param signal ends the transaction, and with it the locks on its jobs.
   * @param tells says which events are asked for.
   */
  constructor(pool: TransactionPool, contract: Contract, signal: AbortSignal, tells: Tells = tellsNothing) {
    this.#tells = tells
    this.#pool = pool
    this.#contract = contract
    this.#signal = signal
    signal.addEventListener('abort', () => this.#over.resolve()) // its connection ends, whatever the handler waits for
  }

  /** The jobs that this transaction has settled, by id; undefined unless it was committed. */
  get settled(): ReadonlyMap<string, SettledInTransaction> | undefined {
    return this.#state === 'settled' ? this.#settled : undefined
  }

  /** Whether the connection was lost, so that only the record can tell what happened. */
  get unknown(): boolean {
    return this.#state === 'unknown'
  }

  /** Whether Postgres is to blame that it came to nothing, as far as is known. */
  get interrupted(): boolean {
    return this.unknown || this.#state === 'interrupted'
  }

  /** Resolves when this transaction locks no job: a settlement would wait for the lock, and others with it. */
  async unlocked(): Promise<void> {
    if (this.#state === 'open') await this.#over.promise
  }

  /**
   * Runs `work` with those of the jobs that are still owned, settles them by its answers, and commits.
   *
   * @param jobs asked for when the transaction has begun.
   * @throws FencedError when none is owned any more; BatchAnswerError when an answer does not fit; what `work` threw. Nothing
   *   was written then.
   */
  async execute(jobs: () => readonly TransactionJob[], work: Work): Promise<BatchAnswers> {
    if (this.#state !== 'unused')
      throw new Error('ctx.transaction may be called once, as the last thing a handler does')
    this.#state = 'waiting'
    try {
      const answers = await this.#pool.run((sql) => this.#settle(sql, jobs(), work), this.#signal)
      this.#state = 'settled'
      return answers
    } catch (error) {
      this.#state = interruptionBy(error) ?? 'rolled back'
      throw error
    } finally {
      this.#over.resolve()
    }
  }

  async #settle(sql: Sql, jobs: readonly TransactionJob[], work: Work): Promise<BatchAnswers> {
    this.#state = 'open'
    const runs = jobs.map(({ run }) => run.job)
    const idleMs = Math.max(1, ...runs.map(({ timeoutMs }) => timeoutMs))
    const owned = await unlessInterrupted(lockRuns(sql, runs, idleMs))
    const kept = Object.freeze(jobs.filter(({ jobId }) => owned.has(jobId)))
    if (kept.length === 0) throw new FencedError('No job of the batch is owned any more; nothing was written')
    const answers = checkAnswers(await work(sql, kept), kept.length)
    const attempts = kept.map(({ run }, index) => ({ run, ended: this.#outcomeOf(run, answers[index]) }))
    const settlements = attempts.map(({ run, ended }) => decide(run.job, ended, this.#contract.retry))
    const settled = await unlessInterrupted(settleAttempts(sql, settlements, this.#tells))
    const statuses = new Map(settled.map(({ id, status }) => [id, status]))
    for (const { run, ended } of attempts) {
      const { id } = run.job
      this.#settled.set(id, { ended, status: statuses.get(id) ?? 'fenced' })
    }
    return answers
  }

  /** An output that does not fit rolls everything back: what was written for it must not stay. */
  #outcomeOf({ job }: Run, answer: unknown): AttemptOutcome {
    try {
      return outcomeOfAnswer(this.#contract.output, answer)
    } catch (thrown) {
      throw new BatchAnswerError(
        `The transaction was rolled back, because of job ${job.id}: ${(thrown as Error).message}`,
      )
    }
  }
}
