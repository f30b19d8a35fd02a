import type { Database } from '@jobyard/db/connect'
import { findFinished } from '@jobyard/db/jobs'
import { withDeadline } from '@jobyard/queues/deadline'

/** Time between two looks at the jobs that somebody waits for, in milliseconds. */
const everyMs = 50
/** Time that a look may take, in milliseconds. */
const lookDeadlineMs = 2_000

/** Lets requests wait for jobs to end. One statement looks for all of them; none is sent while nobody waits. */
export class FinishedJobs {
  readonly #sql: Database['sql']
  readonly #waiters = new Map<string, Set<() => void>>()
  #looking = false
  #released = false

  constructor(sql: Database['sql']) {
    this.#sql = sql
  }

  /** Resolves when the job has ended, after `ms` milliseconds, or at {@link release}. */
  async wait(id: string, ms: number): Promise<void> {
    if (this.#released) return
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#forget(id, done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      const waiters = this.#waiters.get(id) ?? new Set()
      this.#waiters.set(id, waiters.add(done))
      if (!this.#looking) void this.#look()
    })
  }

  /** Lets nobody wait any longer, now and later: the process drains. */
  release(): void {
    this.#released = true
    for (const waiters of this.#waiters.values()) for (const done of waiters) done()
  }

  #forget(id: string, done: () => void): void {
    const waiters = this.#waiters.get(id)
    waiters?.delete(done)
    if (waiters?.size === 0) this.#waiters.delete(id)
  }

  async #look(): Promise<void> {
    this.#looking = true
    while (this.#waiters.size > 0) {
      const look = findFinished(this.#sql, [...this.#waiters.keys()])
      const finished = await withDeadline(look, lookDeadlineMs, 'Looking for finished jobs').catch(() => [])
      for (const id of finished) for (const done of this.#waiters.get(id) ?? []) done()
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
    this.#looking = false
  }
}
