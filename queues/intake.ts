import { isRowError, type Database } from '@jobyard/db/connect'
import { insertJobs, type IntakeResult, type NewJob } from '@jobyard/db/intake'
import { withDeadline } from './deadline.ts'
import { groupCommitSpacingMs, MicroBatch } from './micro-batch.ts'
import type { TicketSender } from './tickets.ts'

/** Time after which an answer is not waited for any more, in milliseconds: above the time-out of statements. */
const answerWithinMs = 15_000
/** JSON in one statement at most, and waiting for one, in bytes. */
const batchBytes = 16 * 1_048_576
const waitingBytes = 256 * 1_048_576

/** Accepts validated jobs: commits their rows together, then sends their tickets without holding the answer up. */
export class Intake {
  readonly #batch: MicroBatch<NewJob, IntakeResult>
  readonly #tickets: TicketSender

  constructor(sql: Database['sql'], tickets: TicketSender) {
    this.#tickets = tickets
    this.#batch = new MicroBatch<NewJob, IntakeResult>({
      run: (jobs) => this.#commit(sql, jobs),
      spacingMs: groupCommitSpacingMs,
      isItemError: isRowError,
      weigh: (job) => job.input.length + job.metadata.length,
      maxWeight: batchBytes,
      maxWaitingWeight: waitingBytes,
    })
  }

  /**
   * Commits one job.
   *
   * @returns once its row is durable, or the first answer to its idempotency key was found.
   * @throws OverloadedError when too many jobs wait for their commit; the driver's error when the row was refused or the
   *   outcome is unknown.
   */
  accept(job: NewJob): Promise<IntakeResult> {
    return this.#batch.add(job)
  }

  /** Resolves when every job that was handed in is answered. */
  drained(): Promise<void> {
    return this.#batch.drained()
  }

  async #commit(sql: Database['sql'], jobs: NewJob[]): Promise<IntakeResult[]> {
    const results = await withDeadline(insertJobs(sql, jobs), answerWithinMs, 'Accepting jobs')
    const ready = jobs.filter((_, index) => {
      const result = results[index]
      return result?.kind === 'accepted' && result.status === 'queued'
    })
    void this.#tickets.send(
      ready.map(({ id, type, queue, priority }) => ({ id, type, queue, priority, crashes: 0, alone: false })),
    )
    return results
  }
}
