import type { Database } from '@jobyard/db/connect'
import { pruneEvents, pruneIdempotencyKeys, pruneJobs, pruneLimit, prunePlatformEvents } from '@jobyard/db/prune'
import { readQueues } from '@jobyard/db/queue-rows'
import { terminalStatuses } from '@jobyard/db/statuses'
import type { SteadyClock } from './steady-clock.ts'

/** How long finished things are kept, in milliseconds. */
export interface Retention {
  readonly completedMs: number
  /** Failed and cancelled jobs. */
  readonly failedMs: number
  readonly eventsMs: number
}

/** Idempotency keys outlive their jobs, in milliseconds: a client that retries for a week is still answered. */
const idempotencyKeysMs = 7 * 86_400_000

/** Deletes what is past its retention, a batch of each kind per round. */
export class Pruner {
  readonly #sql: Database['sql']
  readonly #retention: Retention
  readonly #clock: Pick<SteadyClock, 'isSteady'>

  /** @param clock that of Postgres, by which things are past their retention. */
  constructor(sql: Database['sql'], retention: Retention, clock: Pick<SteadyClock, 'isSteady'>) {
    this.#sql = sql
    this.#retention = retention
    this.#clock = clock
  }

  /** Deletes nothing while the clock is not to be believed. @returns whether a batch was full, so that there may be more. */
  async runOnce(): Promise<boolean> {
    if (!(await this.#clock.isSteady())) return false
    const { completedMs, failedMs, eventsMs } = this.#retention
    const batches = [
      await pruneIdempotencyKeys(this.#sql, idempotencyKeysMs),
      await prunePlatformEvents(this.#sql, eventsMs),
    ]
    const queues = await readQueues(this.#sql)
    for (const status of terminalStatuses) {
      const ages = { jobMs: status === 'completed' ? completedMs : failedMs, eventMs: eventsMs }
      for (const { name } of queues) batches.push(await pruneJobs(this.#sql, name, status, ages))
      batches.push(await pruneEvents(this.#sql, status, eventsMs))
    }
    return batches.some((pruned) => pruned >= pruneLimit)
  }
}
