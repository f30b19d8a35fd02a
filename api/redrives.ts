import type { Database } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import { redriveLeft, type Redriven } from '@jobyard/db/redrive'
import { listJobs, type JobFilter } from '@jobyard/db/search'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { JobSummary } from '@jobyard/db/jobs'

/** Jobs that one transaction redrives. */
const together = 100
/** Time after which a call begins no further transaction, and in which each must end, in milliseconds: below the deadline of requests. */
const redriveWithinMs = 6_000

/** What became of a call. */
export interface RedriveReport {
  /** Jobs that the call has found. */
  readonly matched: number
  readonly redriven: { readonly id: string; readonly as: string }[]
  /** Jobs that were left as they are since another one has their deduplication key. */
  readonly skipped: { readonly id: string; readonly unfinished: string }[]
  /** What the next call is `before`; undefined when there are no more. */
  readonly next: string | undefined
}

/** Makes many failed or cancelled jobs again, each once. */
export class Redrives {
  readonly #db: Database
  readonly #tickets: TicketSender

  constructor(db: Database, tickets: TicketSender) {
    this.#db = db
    this.#tickets = tickets
  }

  /**
   * Finds jobs that have not been redriven yet, newest first.
   *
   * @param filter must name the status `failed` or `cancelled`.
   * @param limit jobs at most.
   */
  find(tenant: string, filter: JobFilter, limit: number): Promise<{ jobs: JobSummary[]; next?: string | undefined }> {
    return listJobs(this.#db.listings, tenant, { ...filter, isLeft: true }, limit)
  }

  /**
   * Redrives what {@link find} finds, for some seconds at most; whoever does so at the same time, or again, redrives none of them twice.
   *
   * @throws the driver's error; jobs that were redriven until then stay so.
   */
  async redrive(tenant: string, filter: JobFilter, limit: number): Promise<RedriveReport> {
    const deadline = performance.now() + redriveWithinMs
    const { jobs, next } = await this.find(tenant, filter, limit)
    const results: Redriven[] = []
    let done = 0
    while (done < jobs.length && performance.now() < deadline) {
      const wanted = jobs.slice(done, done + together).map(({ id }) => ({ of: id, id: newId() }))
      results.push(...(await this.#redrive(tenant, wanted)))
      done += wanted.length
    }
    return {
      matched: jobs.length,
      redriven: results.flatMap((each) => (each.kind === 'made' ? [{ id: each.of, as: each.job.id }] : [])),
      skipped: results.flatMap((each) => (each.kind === 'held' ? [{ id: each.of, unfinished: each.unfinished }] : [])),
      next: done < jobs.length ? jobs[done - 1]?.id : next,
    }
  }

  async #redrive(tenant: string, wanted: { of: string; id: string }[]): Promise<Redriven[]> {
    const { transactions } = this.#db
    const results = await redriveLeft(transactions, tenant, wanted, AbortSignal.timeout(redriveWithinMs))
    void this.#tickets.send(results.flatMap((each) => (each.kind === 'made' ? [each.job] : [])))
    return results
  }
}
