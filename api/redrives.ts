import type { Database } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import { redriveLeft, type Redriven } from '@jobyard/db/redrive'
import { listJobIds, listJobs, type JobFilter } from '@jobyard/db/search'
import { fateOf } from '@jobyard/db/trouble'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { JobSummary } from '@jobyard/db/jobs'

/** Jobs that one transaction redrives. */
const together = 100
/** Jobs that a preview shows. */
const sampleSize = 10
/** Time after which a call begins no further transaction but its first, and in which each must end, in milliseconds: below the deadline of requests. */
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
   * Tells what {@link redrive} would redrive.
   *
   * @param filter must name the status `failed` or `cancelled`.
   * @param limit jobs at most.
   * @returns how many jobs there are, the newest of them, and what the next call is `before`.
   */
  async preview(
    tenant: string,
    filter: JobFilter,
    limit: number,
  ): Promise<{ matched: number; sample: JobSummary[]; next?: string | undefined }> {
    const { ids, next } = await this.#find(tenant, filter, limit)
    const left = { ...filter, isLeft: true }
    const { jobs } = await listJobs(this.#db.listings, tenant, left, Math.min(limit, sampleSize))
    return { matched: ids.length, sample: jobs, next }
  }

  /**
   * Redrives jobs that have not been redriven yet, newest first, for some seconds at most; whoever does so at the same time, or again,
   * redrives none of them twice. Where Postgres fails after some were made, the report ends with these.
   *
   * @param filter must name the status `failed` or `cancelled`.
   * @param limit jobs at most.
   * @throws the driver's error, ConnectionLostError or CommitUnknownError, when nothing is known to be made.
   */
  async redrive(tenant: string, filter: JobFilter, limit: number): Promise<RedriveReport> {
    const deadline = performance.now() + redriveWithinMs
    const { ids, next } = await this.#find(tenant, filter, limit)
    const results: Redriven[] = []
    while (results.length < ids.length && (results.length === 0 || performance.now() < deadline)) {
      const wanted = ids.slice(results.length, results.length + together).map((of) => ({ of, id: newId() }))
      try {
        results.push(...(await this.#redrive(tenant, wanted)))
      } catch (error) {
        if (fateOf(error) && results.some(({ kind }) => kind === 'made')) break
        throw error
      }
    }
    return {
      matched: ids.length,
      redriven: results.flatMap((each) => (each.kind === 'made' ? [{ id: each.of, as: each.job.id }] : [])),
      skipped: results.flatMap((each) => (each.kind === 'held' ? [{ id: each.of, unfinished: each.unfinished }] : [])),
      next: results.length < ids.length ? ids[results.length - 1] : next,
    }
  }

  #find(tenant: string, filter: JobFilter, limit: number): Promise<{ ids: string[]; next?: string | undefined }> {
    return listJobIds(this.#db.listings, tenant, { ...filter, isLeft: true }, limit)
  }

  async #redrive(tenant: string, wanted: { of: string; id: string }[]): Promise<Redriven[]> {
    const { transactions } = this.#db
    const results = await redriveLeft(transactions, tenant, wanted, AbortSignal.timeout(redriveWithinMs))
    void this.#tickets.send(results.flatMap((each) => (each.kind === 'made' ? [each.job] : [])))
    return results
  }
}
