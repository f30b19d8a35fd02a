import { isRowError, type Database } from '@jobyard/db/connect'
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
  readonly tickets: TicketSender
  /** Whether Postgres answers. Opened by a statement that got no answer; while it is open nothing is accepted. */
  readonly circuit: Circuit
  /** Time from when a job was handed in after which its answer is not waited for any more, in milliseconds: above the time-out of statements. */
  readonly deadlineMs?: number | undefined
}

/** Accepts validated jobs: commits their rows together, then sends their tickets without holding the answer up. */
export class Intake {
  readonly #batch: MicroBatch<NewJob, IntakeResult>
  readonly #options: IntakeOptions
  readonly #deadlineMs: number

  constructor(options: IntakeOptions) {
    const { circuit, deadlineMs = defaultDeadlineMs } = options
    this.#options = options
    this.#deadlineMs = deadlineMs
    this.#batch = new MicroBatch<NewJob, IntakeResult>({
      run: (jobs, since) => this.#commit(jobs, since),
      spacingMs: groupCommitSpacingMs,
      isItemError: isRowError,
      maxWaitMs: deadlineMs * waitingPart,
      weigh: (job) => job.input.length + job.metadata.length,
      maxWeight: batchBytes,
      maxWaitingWeight: waitingBytes,
    })
    circuit.onChange((open) => {
      if (open) this.#batch.refuseWaiting(postgresIsAway())
    })
  }

  /**
   * Commits one job.
   *
   * @returns once its row is durable, or the first answer to its idempotency key was found.
   * @throws OverloadedError or RecordAwayError when it was not sent; DeadlineError when it was and got no answer in time; the driver's
   *   error when the row was refused or the outcome is unknown.
   */
  accept(job: NewJob): Promise<IntakeResult> {
    return this.#options.circuit.isOpen ? Promise.reject(postgresIsAway()) : this.#batch.add(job)
  }

  /** Resolves when every job that was handed in is answered. */
  drained(): Promise<void> {
    return this.#batch.drained()
  }

  async #commit(jobs: NewJob[], since: number): Promise<IntakeResult[]> {
    const results = await this.#insert(jobs, since + this.#deadlineMs - performance.now())
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
}

function postgresIsAway(): RecordAwayError {
  return new RecordAwayError('Postgres does not answer')
}
