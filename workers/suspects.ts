import { claimJobs, findSuspect } from '@jobyard/db/claim'
import type { Database } from '@jobyard/db/connect'
import type { Ownership, Run } from './ownership.ts'

export interface SuspectsOptions {
  readonly sql: Database['sql']
  readonly ownership: Ownership
  readonly queues: readonly string[]
  readonly runAttempt: (run: Run) => Promise<void>
}

/** Runs jobs that have crashed their process before: one at a time in this process, so that they take no neighbour along. */
export class Suspects {
  readonly #options: SuspectsOptions
  #running = false

  constructor(options: SuspectsOptions) {
    this.#options = options
  }

  /** Starts the next suspect, unless one is running. */
  async runOnce(): Promise<void> {
    if (this.#running) return
    const { sql, ownership, queues, runAttempt } = this.#options
    const id = await findSuspect(sql, queues)
    if (id === undefined) return
    const { workerId } = ownership
    const answered = ownership.awaitClaim([id])
    const { jobs } = await claimJobs(sql, workerId, [id], 'suspect').finally(answered)
    for (const run of ownership.adopt(jobs, workerId)) {
      this.#running = true
      void runAttempt(run).finally(() => (this.#running = false))
    }
  }
}
