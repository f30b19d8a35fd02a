import { isRowError, type Database } from '@jobyard/db/connect'
import { insertOnce } from '@jobyard/db/insert-once'
import { insertJobs, type IntakeResult, type NewJob } from '@jobyard/db/intake'
import { isAway } from '@jobyard/db/trouble'
import type { Circuit } from './circuit.ts'
import { DeadlineError, withDeadline } from './deadline.ts'
import { OverloadedError, RecordAwayError } from './errors.ts'
import { groupCommitSpacingMs, MicroBatch } from './micro-batch.ts'
import type { TicketSender } from './tickets.ts'

const defaultDeadlineMs = 15_000
/** Part of the deadline which a job may spend waiting for its statement. */
const waitingPart = 2 / 3
/** JSON in one statement at most, and waiting for one, in bytes. */
const batchBytes = 16 * 1_048_576
const waitingBytes = 256 * 1_048_576

export interface IntakeOptions {
  readonly sql: Database['sql']
  readonly transactions: Database['transactions']
  readonly tickets: TicketSender
  /** Whether Postgres answers. Opened by a statement that got no answer; while it is open nothing is accepted. */
  readonly circuit: Circuit
  /** Time from when a job was handed in after which its answer is not waited for any more, in milliseconds: above the time-out of statements. */
  readonly deadlineMs?: number | undefined
}

/**
 * Accepts validated jobs: commits their rows together, then sends their tickets without holding the answer up. Jobs with a deduplication
 * key go a way of their own, on which each batch is a transaction: they hold nobody else up.
 */
export class Intake {
  readonly #plain: MicroBatch<NewJob, IntakeResult>
  readonly #keyed: MicroBatch<NewJob, IntakeResult>
  readonly #options: IntakeOptions
  readonly #deadlineMs: number

  constructor(options: IntakeOptions) {
    const { circuit, deadlineMs = defaultDeadlineMs } = options
    this.#options = options
    this.#deadlineMs = deadlineMs
    this.#plain = this.#batches((jobs, leftMs) => this.#insert(jobs, leftMs))
    this.#keyed = this.#batches((jobs, leftMs) => this.#insertOnce(jobs, leftMs))
    circuit.onChange((open) => {
      if (!open) return
      this.#plain.refuseWaiting(postgresIsAway())
      this.#keyed.refuseWaiting(postgresIsAway())
    })
  }

  /**
   * Commits one job, or finds the unfinished one that has its deduplication key.
   *
   * @returns once its row is durable, or the first answer to its idempotency key was found.
   * @throws OverloadedError or RecordAwayError when it was not sent; DeadlineError when it was and got no answer in time; the driver's
   *   error when the row was refused or the outcome is unknown.
   */
  accept(job: NewJob): Promise<IntakeResult> {
    if (this.#options.circuit.isOpen) return Promise.reject(postgresIsAway())
    return (job.deduplicationKey === undefined ? this.#plain : this.#keyed).add(job)
  }

  /** Resolves when every job that was handed in is answered. */
  async drained(): Promise<void> {
    await Promise.all([this.#plain.drained(), this.#keyed.drained()])
  }

  #batches(insert: (jobs: NewJob[], leftMs: number) => Promise<IntakeResult[]>): MicroBatch<NewJob, IntakeResult> {
    return new MicroBatch<NewJob, IntakeResult>({
      run: (jobs, since) => this.#commit(jobs, insert(jobs, since + this.#deadlineMs - performance.now())),
      spacingMs: groupCommitSpacingMs,
      isItemError: isRowError,
      maxWaitMs: this.#deadlineMs * waitingPart,
      weigh: (job) => job.input.length + job.metadata.length,
      maxWeight: batchBytes,
      maxWaitingWeight: waitingBytes,
    })
  }

  async #commit(jobs: NewJob[], inserting: Promise<IntakeResult[]>): Promise<IntakeResult[]> {
    const results = await inserting
    const ready = jobs.filter((_, index) => {
      const result = results[index]
      return result?.kind === 'accepted' && result.status === 'queued'
    })
    void this.#options.tickets.send(
      ready.map(({ id, type, queue, priority }) => ({ id, type, queue, priority, crashes: 0, alone: false })),
    )
    return results
  }

  async #insert(jobs: NewJob[], leftMs: number): Promise<IntakeResult[]> {
    if (leftMs <= 0) throw new OverloadedError('The statements before took all the time')
    try {
      return await withDeadline(insertJobs(this.#options.sql, jobs), leftMs, 'Accepting jobs')
    } catch (error) {
      if (error instanceof DeadlineError || isAway(error)) this.#options.circuit.open()
      throw error
    }
  }

  /** Somebody else's locks can take the time as well, so Postgres is only doubted. */
  async #insertOnce(jobs: NewJob[], leftMs: number): Promise<IntakeResult[]> {
    if (leftMs <= 0) throw new OverloadedError('The statements before took all the time')
    const signal = AbortSignal.timeout(Math.ceil(leftMs))
    try {
      return await withDeadline(insertOnce(this.#options, jobs, signal), leftMs, 'Accepting jobs')
    } catch (error) {
      if (error instanceof DeadlineError || isAway(error)) this.#options.circuit.doubt()
      throw error
    }
  }
}

function postgresIsAway(): RecordAwayError {
  return new RecordAwayError('Postgres does not answer')
}
