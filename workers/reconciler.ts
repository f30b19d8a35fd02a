import type { Database } from '@jobyard/db/connect'
import { readQueues } from '@jobyard/db/queue-rows'
import { requeueOrphans } from '@jobyard/db/requeue'
import { arrivalsPage, deleteSpentArrivals, deleteSpentClaims, findArrivals } from '@jobyard/db/live'
import { findProbeTargets } from '@jobyard/db/sweep'
import { readBeats, reapWorker } from '@jobyard/db/worker-rows'
import type { Carrier } from '@jobyard/queues/carrier'
import { withDeadline } from '@jobyard/queues/deadline'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { Logger } from 'pino'

export interface ReconcilerOptions {
  readonly sql: Database['sql']
  readonly carrier: Carrier
  readonly tickets: TicketSender
  /** Queues to probe. */
  readonly queues: readonly string[]
  readonly leaseMs: number
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number
  readonly log: Logger
}

interface Seen {
  readonly beat: string
  /** Monotonic time of the first read that showed this beat, in milliseconds. */
  readonly since: number
}

/** Rounds of collecting arrivals of which one looks at all of them: an hour's. */
const fullRoundEvery = 1_800
/** Deadline of the carrier's answer when pauses are mirrored, in milliseconds. */
const mirrorDeadlineMs = 2_000
/** Deadline of shedding tickets, in milliseconds: above the time-out of the carrier's statements. */
const shedDeadlineMs = 12_000

/** Repairs whatever the record and the world disagree about. Any number of processes may do so at once. */
export class Reconciler {
  readonly #options: ReconcilerOptions
  readonly #now: () => number
  #seen = new Map<string, Seen>()
  #lastRead = Number.NEGATIVE_INFINITY
  #rounds = 0

  constructor(options: ReconcilerOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /**
   * Declares dead the workers whose beat did not change for one lease of uninterrupted reads. A read that fails or comes
   * late empties the memory, so that an outage of Postgres or a pause of this process kills nobody.
   *
   * @returns ids of the workers that were removed.
   */
  async reap(): Promise<string[]> {
    const { sql, leaseMs, log } = this.#options
    const beats = await readBeats(sql).catch((error: unknown) => {
      this.#seen.clear()
      throw error
    })
    const now = this.#now()
    const interrupted = now - this.#lastRead > leaseMs / 2
    this.#lastRead = now
    const before = interrupted ? new Map<string, Seen>() : this.#seen
    this.#seen = new Map(
      beats.map(({ id, beat }) => [
        id,
        before.get(id)?.beat === beat ? (before.get(id) as Seen) : { beat, since: now },
      ]),
    )
    const reaped: string[] = []
    for (const [id, { beat, since }] of this.#seen) {
      if (now - since < leaseMs || !(await reapWorker(sql, { id, beat }))) continue
      log.error({ workerId: id }, `Worker ${id} gave no sign of life for ${leaseMs} ms and was declared dead`)
      reaped.push(id)
    }
    return reaped
  }

  /** Requeues the jobs of dead workers. @returns how many. */
  async requeueOrphans(): Promise<number> {
    const { sql, tickets, log } = this.#options
    const requeued = await requeueOrphans(sql)
    if (requeued.length > 0) log.warn({ jobs: requeued.length }, 'Jobs of dead workers went back to their queue')
    await tickets.send(requeued)
    await deleteSpentClaims(sql)
    return requeued.length
  }

  /** Sends a probe wherever jobs have been waiting for long. @returns how many. */
  async probe(): Promise<number> {
    const { sql, tickets, queues } = this.#options
    const targets = await findProbeTargets(sql, queues)
    await Promise.all(targets.map((target) => tickets.probe(target)))
    return targets.length
  }

  /**
   * Deletes spent arrivals. Looks on, beyond those that are waited for, as long as it finds some; every {@link fullRoundEvery}th
   * round it looks at all.
   */
  async collectArrivals(): Promise<void> {
    const { sql, queues } = this.#options
    const full = this.#rounds++ % fullRoundEvery === 0
    for (const arrivals of await findArrivals(sql, queues)) {
      for (let after: string | undefined; ;) {
        const { seen, spent, last } = await deleteSpentArrivals(sql, arrivals, after)
        if (seen < arrivalsPage || (spent === 0 && !full)) break
        after = last
      }
    }
  }

  /** Undoes what wrong clocks have left in the carrier. */
  async forgetWrongClocks(): Promise<void> {
    await withDeadline(this.#options.carrier.forgetWrongClocks(), mirrorDeadlineMs, 'Looking for wrong clocks')
  }

  /** Keeps tickets that are gone from being in the way of others. */
  async shedDeadTickets(): Promise<void> {
    await withDeadline(this.#options.carrier.shedDeadTickets(), shedDeadlineMs, 'Shedding dead tickets')
  }

  /** Restores pauses that the carrier has lost or kept. @returns names of the queues that were mended. */
  async mirrorPauses(): Promise<string[]> {
    const { sql, carrier, queues } = this.#options
    const mended: string[] = []
    for (const { name, paused } of await readQueues(sql)) {
      if (!queues.includes(name)) continue
      const mirrored = await withDeadline(carrier.isPaused(name), mirrorDeadlineMs, 'Reading a pause')
      if (mirrored === paused) continue
      await withDeadline(carrier.setPaused(name, paused), mirrorDeadlineMs, 'Mirroring a pause')
      mended.push(name)
    }
    return mended
  }
}
