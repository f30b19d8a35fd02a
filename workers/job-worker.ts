import { isId, newId } from '@jobyard/db/ids'
import type { Carrier } from '@jobyard/queues/carrier'
import type { TicketData, TicketWorker } from '@jobyard/queues/carrier-backend'
import type { ProbeTarget } from '@jobyard/db/sweep'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { Job } from 'bullmq'
import pLimit from 'p-limit'
import type { Logger } from 'pino'
import type { Claims } from './claims.ts'
import type { Run } from './ownership.ts'
import type { ProbeJudge } from './probe-judge.ts'
import { pause, type Service } from './service.ts'

/** Tickets that one queue's worker has in hand at most, between fetch and acknowledgement. */
const maxFetchers = 64
/** Time between the fetch of a ticket and its claim that a probe allows for, in milliseconds. */
const inHandMs = 1_000
/** Wait after a fetch that failed, in milliseconds. */
const retryAfterMs = 250

type Ticket = Job<TicketData>

export interface JobWorkerOptions {
  readonly queue: string
  /** Jobs at once. */
  readonly concurrency: number
  readonly carrier: Carrier
  readonly claims: Claims
  readonly tickets: TicketSender
  readonly probes: ProbeJudge
  readonly runAttempt: (run: Run) => Promise<void>
  readonly log: Logger
}

/**
 * Serves one queue: fetches a ticket only with a free slot in hand, claims as many of its jobs as there are slots, sends the
 * rest on, acknowledges the ticket, and runs the jobs. Concurrency counts jobs, never tickets.
 */
export class JobWorker implements Service {
  readonly #options: JobWorkerOptions
  readonly #running: ReturnType<typeof pLimit>
  readonly #fetchers = new Set<Promise<void>>()
  readonly #judging = new Set<Promise<void>>()
  readonly #stopping = new AbortController()
  #worker: TicketWorker | undefined
  #reserved = 0

  constructor(options: JobWorkerOptions) {
    this.#options = options
    this.#running = pLimit(options.concurrency)
  }

  start(): void {
    this.#fetch()
  }

  /** Stops fetching. Tickets in hand are passed on; jobs that run go on. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#worker?.pause(true)
    await this.#worker?.getBackend().disconnectBlocking(false)
    await Promise.all([...this.#fetchers, ...this.#judging])
    await this.#worker?.close(true)
  }

  get #freeSlots(): number {
    return this.#options.concurrency - this.#running.activeCount - this.#running.pendingCount - this.#reserved
  }

  /** Takes up to `wanted` free slots. */
  #reserve(wanted: number): number {
    const slots = Math.max(Math.min(wanted, this.#freeSlots), 0)
    this.#reserved += slots
    return slots
  }

  /** Starts one more fetcher if there is room; each that finds a ticket starts the next, so idle queues have one. */
  #fetch(): void {
    if (this.#stopping.signal.aborted || this.#fetchers.size >= maxFetchers || this.#freeSlots <= 0) return
    const fetcher = this.#fetchWhileThereAreTickets().finally(() => {
      this.#fetchers.delete(fetcher)
      if (this.#fetchers.size === 0) this.#fetch()
    })
    this.#fetchers.add(fetcher)
  }

  async #fetchWhileThereAreTickets(): Promise<void> {
    while (!this.#stopping.signal.aborted && this.#reserve(1) === 1) {
      const ticket = await this.#nextTicket()
      if (ticket) {
        this.#fetch()
        await this.#take(ticket)
      } else {
        this.#reserved -= 1
        if (this.#fetchers.size > 1) return
      }
    }
  }

  async #nextTicket(): Promise<Ticket | undefined> {
    const { claims, log, queue } = this.#options
    try {
      const worker = await this.#open()
      if (worker && claims.open) return await worker.getNextJob(newId(), { block: true })
    } catch (error) {
      log.warn({ err: error, queue }, 'Fetching a ticket failed, and is tried again')
    }
    await pause(retryAfterMs, this.#stopping.signal)
    return undefined
  }

  /** @returns undefined when the queue was stopped before the carrier could be reached. */
  async #open(): Promise<TicketWorker | undefined> {
    if (this.#worker) return this.#worker
    const opening = this.#options.carrier.openWorker(this.#options.queue)
    const worker = await Promise.race([opening, aborted(this.#stopping.signal)])
    if (!worker) {
      opening.then((late) => late.close(true)).catch(() => {})
      return undefined
    }
    await worker.startStalledCheckTimer()
    this.#worker = worker
    return worker
  }

  /** Called with one slot reserved; gives back what it does not use. */
  async #take(ticket: Ticket): Promise<void> {
    const { queue, tickets, log } = this.#options
    const { data } = ticket
    const ids = 'ids' in data ? data.ids.filter(isId) : []
    const slots = 1 + this.#reserve(ids.length - 1)
    try {
      if ('probe' in data) {
        this.#judge(ticket, { queue, priority: data.priority, stamp: data.probe })
        return
      }
      if (this.#stopping.signal.aborted) await tickets.passOn(queue, ids)
      else await Promise.all([tickets.passOn(queue, ids.slice(slots)), this.#claim(ids.slice(0, slots))])
      await this.#acknowledge(ticket)
    } catch (error) {
      log.warn(
        { err: error, queue, ticket: ticket.id },
        'A ticket was not acknowledged; it will come again, and claim nothing twice',
      )
    } finally {
      this.#reserved -= slots
      this.#fetch()
    }
  }

  /** Judges beside the fetching, without a slot: tickets that were fetched before the probe are being claimed still. */
  #judge(probe: Ticket, target: ProbeTarget): void {
    const { probes, log, queue } = this.#options
    const judged = pause(inHandMs, this.#stopping.signal)
      .then(() => (this.#stopping.signal.aborted ? 0 : probes.judge(target)))
      .then(() => this.#acknowledge(probe))
      .catch((error: unknown) => log.warn({ err: error, queue }, 'A probe was not judged; it will come again'))
      .finally(() => this.#judging.delete(judged))
    this.#judging.add(judged)
  }

  async #acknowledge(ticket: Ticket): Promise<void> {
    await ticket.moveToCompleted(undefined, ticket.token ?? '', false)
  }

  async #claim(ids: readonly string[]): Promise<void> {
    for (const run of await this.#options.claims.claim(ids)) {
      void this.#running(() => this.#options.runAttempt(run)).finally(() => this.#fetch())
    }
  }
}

async function aborted(signal: AbortSignal): Promise<undefined> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}
