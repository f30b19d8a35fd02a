import { claimJobs, findSuspect } from '@jobyard/db/claim'
import type { Database } from '@jobyard/db/connect'
import type { Ownership, Run } from './ownership.ts'

export interface SuspectsOptions {
  readonly sql: Database['sql']
  readonly ownership: Ownership
  readonly queues: readonly string[]
  readonly runAttempt: (run: Run) => Promise<void>
}

/**
 * Time without a further suspect after a claim whose answer is not known, in milliseconds: until then its statement has ended, and
 * the ownership check has given back what it took.
 */
const doubtMs = 20_000

/** Runs jobs that have crashed their process before: one at a time in this process, so that they take no neighbour along. */
export class Suspects {
  readonly #options: SuspectsOptions
  #running = false
  #last: Run | undefined
  /** End of a doubt, on the monotonic clock in milliseconds. */
  #doubtUntil = 0

  constructor(options: SuspectsOptions) {
    this.#options = options
  }

  /**
   * Starts the next suspect, unless one is running, has an outcome that is not in the record yet, or may have been claimed
   * without our knowing.
   */
  async runOnce(): Promise<void> {
    if (this.#running || this.#isUnsettled || performance.now() < this.#doubtUntil) return
    const { sql, ownership, queues, runAttempt } = this.#options
    const id = await findSuspect(sql, queues)
    if (id === undefined) return
    const { workerId } = ownership
    const answered = ownership.awaitClaim([id])
    const { jobs } = await claimJobs(sql, workerId, [id], 'suspect')
      .catch((error: unknown) => {
        this.#doubtUntil = performance.now() + doubtMs
        throw error
      })
      .finally(answered)
    for (const run of ownership.adopt(jobs, workerId)) {
      this.#running = true
      this.#last = run
      void runAttempt(run).finally(() => (this.#running = false))
    }
  }

  /** Until then a crash by the next one would be charged to this one, too. */
  get #isUnsettled(): boolean {
    return this.#last !== undefined && this.#options.ownership.find(this.#last.job) !== undefined
  }
}
