import { isId, newId } from '@jobyard/db/ids'
import { priorityOf, type Carrier } from '@jobyard/queues/carrier'
import type { JobTicket, TicketData, TicketWorker } from '@jobyard/queues/carrier-backend'
import type { ProbeTarget } from '@jobyard/db/sweep'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { Job } from 'bullmq'
import pLimit from 'p-limit'
import type { Logger } from 'pino'
import type { Attempts } from './attempts.ts'
import type { Claims } from './claims.ts'
import type { Run } from './ownership.ts'
import type { ProbeJudge } from './probe-judge.ts'
import { pause, type Service } from './service.ts'

/** Tickets that one queue's worker has in hand at most, between fetch and acknowledgement. */
const maxFetchers = 512
/** Time between the fetch of a ticket and its claim that a probe allows for, in milliseconds. */
const inHandMs = 1_000
/** Time after which a fetch is taken for lost, in milliseconds: one that waits for a ticket ends sooner by itself. */
const fetchLostMs = 15_000
/** How often is looked whether a fetch was lost, in milliseconds. */
const lookEveryMs = 5_000
/** Wait after a fetch that failed, in milliseconds. */
const retryAfterMs = 250

type Ticket = Job<TicketData>

export interface JobWorkerOptions {
  readonly queue: string
  /** Jobs at once. */
  readonly concurrency: number
  /** Jobs of one ticket that are claimed as a whole, at most; 1 where there are no batched types. */
  readonly batchSize: number
  readonly carrier: Carrier
  readonly claims: Claims
  readonly tickets: TicketSender
  readonly probes: ProbeJudge
  readonly attempts: Pick<Attempts, 'group' | 'execute'>
  readonly log: Logger
}

/**
 * Serves one queue: fetches a ticket only with a free slot in hand, claims as many of its jobs as there are slots, sends the
 * rest on, acknowledges the ticket, and runs the jobs. Concurrency counts jobs, never tickets. A ticket of a batched type is
 * claimed whole, so that the last one may exceed the concurrency by less than a batch.
 */
export class JobWorker implements Service {
  readonly #options: JobWorkerOptions
  readonly #running: ReturnType<typeof pLimit>
  /** Jobs that run together with others. */
  #inBatches = 0
  readonly #fetchers = new Set<Promise<void>>()
  readonly #judging = new Set<Promise<unknown>>()
  readonly #stopping = new AbortController()
  #worker: TicketWorker | undefined
  #watch: NodeJS.Timeout | undefined
  #reserved = 0
  /** Fetchers that ask the carrier for a ticket. */
  #asking = 0
  /** When the last one began to ask, on the monotonic clock in milliseconds. */
  #askedAt = 0
  /** Whether the last answer to that was that there is none. */
  #empty = false
  /** Jobs that the next ticket will have, as far as one can tell: as many slots are in hand when it is fetched. */
  #expectation: number

  constructor(options: JobWorkerOptions) {
    this.#options = options
    this.#running = pLimit(options.concurrency)
    this.#expectation = options.batchSize
  }

  start(): void {
    this.#watch ??= setInterval(() => this.#replaceLostFetch(), lookEveryMs)
    this.#fetch()
  }

  /** Stops fetching. Tickets in hand are passed on; jobs that run go on. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    clearInterval(this.#watch)
    await this.#worker?.pause(true)
    await this.#worker?.getBackend().disconnectBlocking(false)
    await Promise.all([...this.#fetchers, ...this.#judging])
    await this.#worker?.close(true)
  }

  get #freeSlots(): number {
    const { activeCount, pendingCount } = this.#running
    return this.#options.concurrency - activeCount - pendingCount - this.#inBatches - this.#reserved
  }

  /**
   * Takes as many free slots as the next ticket is expected to need, or none; fewer only if no other fetcher is at work, since
   * a ticket that is taken in parts goes round several times. None where one asks already and would find nothing.
   *
   * @param others fetchers at work beside the one that asks.
   */
  #reserve(others: number): number {
    if (this.#isAwaited) return 0
    const wanted = Math.min(this.#expected, this.#options.concurrency)
    const free = this.#freeSlots
    const slots = free >= wanted ? wanted : others === 0 ? Math.max(free, 0) : 0
    this.#reserved += slots
    return slots
  }

  /** Whether a fetcher waits for the first ticket of an empty queue. */
  get #isAwaited(): boolean {
    return this.#empty && this.#asking > 0 && performance.now() - this.#askedAt < fetchLostMs
  }

  /** Follows the size of tickets up at once and down slowly. */
  #expect(size: number): void {
    this.#expectation = Math.max(size, this.#expectation - 1 / 64, this.#options.batchSize)
  }

  get #expected(): number {
    return Math.ceil(this.#expectation)
  }

  /** Whoever waits for the only fetcher of an idle queue would wait for as long as its connection takes to find that it is dead. */
  #replaceLostFetch(): void {
    if (this.#worker && performance.now() - this.#askedAt >= fetchLostMs) this.#fetch()
  }

  /** Starts one more fetcher if there is room; each that finds a ticket starts the next, so idle queues have one. */
  #fetch(): void {
    if (this.#stopping.signal.aborted || this.#fetchers.size >= maxFetchers) return
    const slots = this.#reserve(this.#fetchers.size)
    if (slots === 0) return
    const fetcher = this.#fetchWhileThereAreTickets(slots).finally(() => {
      this.#fetchers.delete(fetcher)
      if (this.#fetchers.size === 0) this.#fetch()
    })
    this.#fetchers.add(fetcher)
  }

  async #fetchWhileThereAreTickets(inHand: number): Promise<void> {
    for (
      let slots = inHand;
      slots > 0 && !this.#stopping.signal.aborted;
      slots = this.#reserve(this.#fetchers.size - 1)
    ) {
      let ticket = await this.#nextTicket()
      if (!ticket) {
        this.#reserved -= slots
        if (this.#asking > 0) return
      }
      while (ticket) [ticket, slots] = await this.#take(ticket, slots)
    }
  }

  async #nextTicket(): Promise<Ticket | undefined> {
    const { claims, log, queue } = this.#options
    this.#asking++
    this.#askedAt = performance.now()
    try {
      const worker = await this.#open()
      const limitedForMs = worker?.limitedForMs ?? 0
      if (limitedForMs > 0) await pause(limitedForMs, this.#stopping.signal)
      if (worker && claims.open) return this.#noteFetched(await worker.getNextJob(newId(), { block: this.#empty }))
      await pause(retryAfterMs, this.#stopping.signal)
    } catch (error) {
      log.warn({ err: error, queue }, 'Fetching a ticket failed, and is tried again')
      this.#empty = false
      await pause(retryAfterMs, this.#stopping.signal)
    } finally {
      this.#asking--
    }
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

  /**
   * @param reserved slots in hand; those that the ticket does not need are given back.
   * @returns the next ticket, fetched while this one was acknowledged, and the slots in hand for it.
   */
  async #take(ticket: Ticket, reserved: number): Promise<[Ticket | undefined, number]> {
    const { queue, log } = this.#options
    const { data } = ticket
    const jobs = jobsOf(data)
    this.#expect(jobs.ids.length)
    const room = reserved + Math.max(this.#freeSlots, 0)
    let slots = jobs.whole ? jobs.ids.length : Math.min(jobs.ids.length, room)
    this.#reserved += slots - reserved
    this.#fetch()
    try {
      if (isObject(data) && 'probe' in data) {
        this.#judge(ticket, { queue, priority: data.priority, stamp: data.probe })
        return [undefined, 0]
      }
      await this.#claim(jobs, slots, priorityOf(ticket))
      this.#reserved -= slots
      slots = this.#stopping.signal.aborted ? 0 : this.#reserve(this.#fetchers.size - 1)
      const next = await this.#acknowledge(ticket, slots > 0)
      if (next) {
        const inHand = slots
        slots = 0
        return [next, inHand]
      }
    } catch (error) {
      log.warn(
        { err: error, queue, ticket: ticket.id },
        'A ticket was not acknowledged; it will come again, and claim nothing twice',
      )
    } finally {
      this.#reserved -= slots
      this.#fetch()
    }
    return [undefined, 0]
  }

  /** Judges beside the fetching, without a slot: tickets that were fetched before the probe are being claimed still. */
  #judge(probe: Ticket, target: ProbeTarget): void {
    const { probes, log, queue } = this.#options
    const judged = pause(inHandMs, this.#stopping.signal)
      .then(() => (this.#stopping.signal.aborted ? 0 : probes.judge(target)))
      .then(() => this.#acknowledge(probe, false))
      .catch((error: unknown) => log.warn({ err: error, queue }, 'A probe was not judged; it will come again'))
      .finally(() => this.#judging.delete(judged))
    this.#judging.add(judged)
  }

  async #acknowledge(ticket: Ticket, fetchNext: boolean): Promise<Ticket | undefined> {
    const next = await this.#worker?.acknowledge(ticket, fetchNext)
    return fetchNext ? this.#noteFetched(next) : undefined
  }

  #noteFetched(ticket: Ticket | undefined): Ticket | undefined {
    this.#empty = !ticket
    return ticket
  }

  /** Claims the first jobs of a ticket, one for each slot, and sends the rest on; all of it when this worker stops. */
  async #claim(jobs: JobTicket, slots: number, priority: number): Promise<void> {
    const { queue, tickets, claims, attempts } = this.#options
    if (this.#stopping.signal.aborted) return tickets.passOn(queue, priority, jobs)
    const [runs] = await Promise.all([
      claims.claim(jobs.ids.slice(0, slots)),
      tickets.passOn(queue, priority, { ids: jobs.ids.slice(slots) }),
    ])
    for (const group of attempts.group(runs)) void this.#execute(group).finally(() => this.#fetch())
  }

  async #execute(group: Run[]): Promise<void> {
    const { attempts } = this.#options
    if (group.length === 1) {
      await this.#running(() => attempts.execute(group))
      return
    }
    this.#inBatches += group.length
    await attempts.execute(group)
    this.#inBatches -= group.length
  }
}

/** The jobs of a ticket; of one that is not ours, none. */
function jobsOf(data: TicketData): JobTicket {
  return isObject(data) && 'ids' in data && Array.isArray(data.ids)
    ? { ...data, ids: data.ids.filter(isId) }
    : { ids: [] }
}

async function aborted(signal: AbortSignal): Promise<undefined> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}

function isObject(data: unknown): data is object {
  return typeof data === 'object' && data !== null
}
