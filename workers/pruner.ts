import { pruneAuditEntries } from '@jobyard/db/audit-log'
import type { Database } from '@jobyard/db/connect'
import { pruneOccurrences } from '@jobyard/db/occurrences'
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
  /** The audit log. */
  readonly auditMs: number
}

/** Time by which idempotency keys are kept for longer than any job that has ended, in milliseconds: a client that retries for a week is still answered. */
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

  /**
   * Deletes nothing while the clock is not to be believed.
   *
   * @returns whether a batch was full, so that there may be more.
   * @throws AggregateError when a kind could not be deleted, after all others were.
   */
  async runOnce(): Promise<boolean> {
    if (!(await this.#clock.isSteady())) return false
    const errors: unknown[] = []
    let more = false
    for (const prune of await this.#kinds())
      await prune().then(
        (pruned) => (more ||= pruned >= pruneLimit),
        (error: unknown) => errors.push(error),
      )
    if (errors.length > 0)
      throw new AggregateError(errors, 'Not everything that is past its retention could be deleted')
    return more
  }

  /** @returns what deletes a batch each, and says of how many. */
  async #kinds(): Promise<(() => Promise<number>)[]> {
    const sql = this.#sql
    const { completedMs, failedMs, eventsMs, auditMs } = this.#retention
    const queues = await readQueues(sql)
    return [
      () => pruneAuditEntries(sql, auditMs),
      () => pruneIdempotencyKeys(sql, Math.max(completedMs, failedMs) + idempotencyKeysMs),
      () => prunePlatformEvents(sql, eventsMs),
      () => pruneOccurrences(sql, Math.max(completedMs, failedMs)),
      ...terminalStatuses.flatMap((status) => {
        const ages = { jobMs: status === 'completed' ? completedMs : failedMs, eventMs: eventsMs }
        return [
          ...queues.map(
            ({ name }) =>
              () =>
                pruneJobs(sql, name, status, ages),
          ),
          () => pruneEvents(sql, status, eventsMs),
        ]
      }),
    ]
  }
}
