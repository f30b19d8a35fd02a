import type { Database } from '@jobyard/db/connect'
import { deleteSpentClaims } from '@jobyard/db/live'
import { handBack, type OwnedRun } from '@jobyard/db/requeue'
import { beat, insertWorker, readOwnedRuns, type WorkerRow } from '@jobyard/db/worker-rows'
import { withDeadline } from '@jobyard/queues/deadline'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { Logger } from 'pino'
import type { Ownership } from './ownership.ts'

/** Leases without an answer from Postgres after which a process aborts its runs, since somebody else may run them. */
const leasesUntilAbort = 3

export interface HeartbeatOptions {
  readonly sql: Database['sql']
  readonly ownership: Ownership
  readonly tickets: TicketSender
  readonly describe: Omit<WorkerRow, 'id'>
  readonly leaseMs: number
  readonly log: Logger
}

/** Keeps this process's row beating, and what it remembers in step with the rows that are its own. */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  #lastAnswered = performance.now()

  constructor(options: HeartbeatOptions) {
    this.#options = options
  }

  /** Enters this process in the record. */
  async register(): Promise<void> {
    const { sql, ownership, describe } = this.#options
    await insertWorker(sql, { ...describe, id: ownership.workerId })
    this.#lastAnswered = performance.now()
  }

  /** One beat, then the ownership check. Starts over under a new id if this process was declared dead. */
  async runOnce(): Promise<void> {
    const { sql, ownership, leaseMs, log } = this.#options
    const sent = performance.now()
    try {
      const alive = await withDeadline(beat(sql, ownership.workerId), leaseMs / 2, 'The heartbeat')
      this.#lastAnswered = sent
      if (alive) await this.#checkOwnership()
      else {
        log.error(
          { workerId: ownership.workerId, jobs: ownership.size },
          'This worker was declared dead; it drops its jobs and starts over',
        )
        ownership.renew()
        await this.register()
      }
    } catch (error) {
      this.#abortIfCutOff()
      throw error
    }
  }

  /** Cancels what was asked to be cancelled, and gives back rows that are mine but that I know nothing of. */
  async #checkOwnership(): Promise<void> {
    const { sql, ownership, tickets, leaseMs, log } = this.#options
    const unknown: OwnedRun[] = []
    const { workerId } = ownership
    await withDeadline(deleteSpentClaims(sql, workerId), leaseMs / 2, 'Deleting spent claims').catch((error: unknown) =>
      log.warn({ err: error }, 'Spent claims were not deleted; the next heartbeat tries again'),
    )
    for (const row of await withDeadline(readOwnedRuns(sql, workerId), leaseMs / 2, 'The ownership check')) {
      const run = ownership.find(row)
      if (run && row.cancelRequested) run.abort('cancelled')
      if (!run && !ownership.isAwaited(row.id)) unknown.push(row)
    }
    if (unknown.length === 0) return
    const returned = await handBack(sql, workerId, unknown)
    if (returned.length > 0)
      log.warn({ jobs: returned.length }, 'Claims whose answer was lost went back to their queue')
    await tickets.send(returned)
  }

  #abortIfCutOff(): void {
    const { ownership, leaseMs, log } = this.#options
    if (performance.now() - this.#lastAnswered < leasesUntilAbort * leaseMs || ownership.size === 0) return
    log.error(
      { jobs: ownership.size },
      'Postgres has not answered for three leases; running jobs are aborted and will run again',
    )
    ownership.abortAll('lost')
  }
}
