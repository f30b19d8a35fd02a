import type { Job, JobsOptions } from 'bullmq'
import type { CarrierBackend, TicketData, TicketQueue, TicketWorker } from './carrier-backend.ts'
import { withDeadline } from './deadline.ts'
import type { TokenStore } from './limits/token-store.ts'
import { PostgresCarrier } from './postgres-carrier.ts'
import { RedisCarrier } from './redis-carrier.ts'

/** A BullMQ job that is about to be added. */
export interface TicketToSend {
  readonly id: string
  readonly data: TicketData
  /** 0 first to 9 last. */
  readonly priority: number
  /** Ahead of the others of its priority. */
  readonly atHead?: boolean
}

export interface CarrierOptions {
  /** Redis or Valkey; absent: BullMQ's Postgres backend. */
  readonly redisUrl?: string | undefined
  /** Database of the Postgres backend. */
  readonly databaseUrl: string
  /** Queues that are served, each of which holds a connection to listen on. */
  readonly listeners?: number
  /** Told of connection errors, which heal by themselves. */
  readonly onError: (error: Error) => void
}

/** Events of BullMQ that are kept per queue; nothing reads them. */
const eventsKept = 100
/** Time that closing may take, in milliseconds. */
const closeDeadlineMs = 2_000
/** A ticket is held for the length of one claim only, so a lost one may be given out again soon. */
const ticketLockMs = 10_000

/** Where BullMQ keeps tickets. It may lose, double and delay them; the record decides what happens. */
export class Carrier {
  readonly #backend: CarrierBackend
  readonly #queues = new Map<string, Promise<TicketQueue>>()
  readonly #onError: (error: Error) => void

  constructor(backend: CarrierBackend, onError: (error: Error) => void) {
    this.#backend = backend
    this.#onError = onError
  }

  get kind(): 'redis' | 'postgres' {
    return this.#backend.kind
  }

  /** Makes the carrier's own schema, where it has one; safe to call from several processes at once. */
  migrate(): Promise<void> {
    return this.#backend.migrate()
  }

  /** @throws Error with the remedy when the carrier must not be used as it is configured. */
  check(): Promise<void> {
    return this.#backend.check()
  }

  /** Undoes what a process whose clock was far ahead has left behind. Sets no deadline of its own. */
  forgetWrongClocks(): Promise<void> {
    return this.#backend.forgetWrongClocks()
  }

  /** Gets rid of tickets that are gone and still in the way of others, where the carrier keeps such. */
  shedDeadTickets(): Promise<void> {
    return this.#backend.shedDeadTickets()
  }

  /** @throws when the carrier does not answer or takes no tickets; sets no deadline of its own. */
  ping(): Promise<void> {
    return this.#backend.ping()
  }

  /** Opens buckets of tokens that all processes share; undefined where each process keeps its own. They close with the carrier. */
  openTokenStore(): TokenStore | undefined {
    return this.#backend.openTokenStore?.()
  }

  /** Adds tickets; one whose id still exists is a no-op. Sets no deadline of its own: an unreachable carrier may never answer. */
  async add(queue: string, tickets: readonly TicketToSend[]): Promise<void> {
    const opened = await this.#queue(queue)
    const jobs = tickets.map((ticket) => ({ name: 'ticket', data: ticket.data, opts: ticketOptions(ticket) }))
    if (jobs.length > this.#backend.addedSingly) await opened.addBulk(jobs)
    else for (const { name, data, opts } of jobs) await opened.add(name, data, opts)
  }

  /** Mirrors the pause of a queue, which only saves work: the claim decides. */
  async setPaused(queue: string, paused: boolean): Promise<void> {
    const opened = await this.#queue(queue)
    await (paused ? opened.pause() : opened.resume())
  }

  async isPaused(queue: string): Promise<boolean> {
    return (await this.#queue(queue)).isPaused()
  }

  /**
   * Opens a BullMQ worker without a processor, to fetch tickets by hand.
   *
   * @throws when the carrier refuses; with Redis down it resolves when Redis is back.
   */
  async openWorker(queue: string): Promise<TicketWorker> {
    const worker = this.#backend.createWorker(queue, {
      autorun: false,
      lockDuration: ticketLockMs,
      stalledInterval: ticketLockMs / 2,
      maxStalledCount: 1_000_000,
      runRetryDelay: 500,
    })
    worker.on('error', this.#onError)
    return usable(worker, () => worker.close(true))
  }

  /** Closes every connection; what is still being sent is given up. */
  async close(): Promise<void> {
    const closing = [...this.#queues.values()].map(async (opening) => (await opening).close())
    await withDeadline(Promise.allSettled(closing), closeDeadlineMs, 'Closing queues').catch(this.#onError)
    await withDeadline(this.#backend.disconnect(), closeDeadlineMs, 'Closing the carrier').catch(this.#onError)
  }

  #queue(name: string): Promise<TicketQueue> {
    const known = this.#queues.get(name)
    if (known) return known
    const opening = this.#openQueue(name)
    this.#queues.set(name, opening)
    opening.catch(() => this.#queues.delete(name))
    return opening
  }

  async #openQueue(name: string): Promise<TicketQueue> {
    const queue = this.#backend.createQueue(name, { streams: { events: { maxLen: eventsKept } } })
    queue.on('error', this.#onError)
    return usable(queue, () => queue.close())
  }
}

/** BullMQ never recovers an object whose first connection was refused, so such a one is closed and not kept. */
async function usable<T extends { waitUntilReady(): Promise<unknown> }>(
  opened: T,
  close: () => Promise<void>,
): Promise<T> {
  try {
    await opened.waitUntilReady()
    return opened
  } catch (error) {
    void close().catch(() => {})
    throw error
  }
}

/** Opens the carrier that the options name; connections are made on first use. */
export function openCarrier(options: CarrierOptions): Carrier {
  const backend = options.redisUrl
    ? new RedisCarrier(options.redisUrl, options.onError)
    : new PostgresCarrier(options.databaseUrl, options.listeners ?? 0, options.onError)
  return new Carrier(backend, options.onError)
}

function ticketOptions({ id, priority, atHead = false }: TicketToSend): JobsOptions {
  const ahead = priority === 0 ? { lifo: atHead } : { priority: carrierPriority(priority, atHead) }
  return { jobId: id, attempts: 1, removeOnComplete: true, removeOnFail: true, ...ahead }
}

/**
 * BullMQ keeps the order of arrival within a priority, and puts at the head only what has none. So each priority of ours but the
 * first has two of BullMQ's: one for tickets at the head, and behind it one for the others.
 */
function carrierPriority(priority: number, atHead: boolean): number {
  return priority * 2 - (atHead ? 1 : 0)
}

/** @returns the priority with which a ticket was sent, whether at the head or not. */
export function priorityOf({ priority }: Pick<Job, 'priority'>): number {
  return Math.ceil(priority / 2)
}
