import type { Database } from '@jobyard/db/connect'
import { beat, insertWorker, type WorkerRow } from '@jobyard/db/worker-rows'
import { withDeadline } from '@jobyard/queues/deadline'
import type { Logger } from 'pino'
import type { Ownership } from './ownership.ts'

/** Leases without an answer from Postgres after which a process aborts its runs, since somebody else may run them. */
const leasesUntilAbort = 3

export interface HeartbeatOptions {
  readonly sql: Database['sql']
  readonly ownership: Ownership
  readonly describe: Omit<WorkerRow, 'id'>
  readonly leaseMs: number
  readonly log: Logger
}

/** Keeps this process's row beating. It waits for nothing else: whoever does not beat for a lease is declared dead. */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  #lastAnswered = performance.now()

  constructor(options: HeartbeatOptions) {
    this.#options = options
  }

  /** Enters this process in the record. @throws DeadlineError after half a lease, or the driver's error. */
  async register(): Promise<void> {
    const { sql, ownership, describe, leaseMs } = this.#options
    const entered = insertWorker(sql, { ...describe, id: ownership.workerId })
    await withDeadline(entered, leaseMs / 2, 'Entering this worker')
    this.#lastAnswered = performance.now()
  }

  /** One beat. Starts over under a new id if this process was declared dead. */
  async runOnce(): Promise<void> {
    const { sql, ownership, leaseMs, log } = this.#options
    const sent = performance.now()
    try {
      const alive = await withDeadline(beat(sql, ownership.workerId), leaseMs / 2, 'The heartbeat')
      this.#lastAnswered = sent
      if (alive) return
      log.error(
        { workerId: ownership.workerId, jobs: ownership.size },
        'This worker was declared dead; it drops its jobs and starts over',
      )
      ownership.renew()
      await this.register()
    } catch (error) {
      this.#abortIfCutOff()
      throw error
    }
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
