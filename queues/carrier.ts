import type { JobsOptions } from 'bullmq'
import type { CarrierBackend, TicketData, TicketQueue, TicketWorker } from './carrier-backend.ts'
import { PostgresCarrier } from './postgres-carrier.ts'
import { RedisCarrier } from './redis-carrier.ts'

/** A BullMQ job that is about to be added. */
export interface TicketToSend {
  readonly id: string
  readonly data: TicketData
  /** 0 first to 9 last. */
  readonly priority: number
  /** Ahead of all others. */
  readonly atHead?: boolean
}

export interface CarrierOptions {
  /** Redis or Valkey; absent: BullMQ's Postgres backend. */
  readonly redisUrl?: string | undefined
  /** Database of the Postgres backend. */
  readonly databaseUrl: string
  /** Told of connection errors, which heal by themselves. */
  readonly onError: (error: Error) => void
}

/** Events of BullMQ that are kept per queue; nothing reads them. */
const eventsKept = 100
/** A ticket is held for the length of one claim only, so a lost one may be given out again soon. */
const ticketLockMs = 10_000

/** Where BullMQ keeps tickets. It may lose, double and delay them; the record decides what happens. */
export class Carrier {
  readonly #backend: CarrierBackend
  readonly #queues = new Map<string, TicketQueue>()
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

  /** @throws when the carrier does not answer; sets no deadline of its own. */
  ping(): Promise<void> {
    return this.#backend.ping()
  }

  /** Adds tickets; one whose id still exists is a no-op. Sets no deadline of its own: an unreachable carrier may never answer. */
  async add(queue: string, tickets: readonly TicketToSend[]): Promise<void> {
    await this.#queue(queue).addBulk(
      tickets.map((ticket) => ({ name: 'ticket', data: ticket.data, opts: ticketOptions(ticket) })),
    )
  }

  /** Mirrors the pause of a queue, which only saves work: the claim decides. */
  async setPaused(queue: string, paused: boolean): Promise<void> {
    await (paused ? this.#queue(queue).pause() : this.#queue(queue).resume())
  }

  isPaused(queue: string): Promise<boolean> {
    return this.#queue(queue).isPaused()
  }

  /** Makes a BullMQ worker without a processor, to fetch tickets by hand. */
  createWorker(queue: string): TicketWorker {
    const worker = this.#backend.createWorker(queue, {
      autorun: false,
      lockDuration: ticketLockMs,
      stalledInterval: ticketLockMs / 2,
      maxStalledCount: 1_000_000,
      runRetryDelay: 500,
    })
    worker.on('error', this.#onError)
    return worker
  }

  /** Closes every connection; what is still being sent is given up. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#queues.values()].map((queue) => queue.close()))
    await this.#backend.disconnect()
  }

  #queue(name: string): TicketQueue {
    const known = this.#queues.get(name)
    if (known) return known
    const queue = this.#backend.createQueue(name, { streams: { events: { maxLen: eventsKept } } })
    queue.on('error', this.#onError)
    this.#queues.set(name, queue)
    return queue
  }
}

/** Opens the carrier that the options name; connections are made on first use. */
export function openCarrier(options: CarrierOptions): Carrier {
  const backend = options.redisUrl
    ? new RedisCarrier(options.redisUrl, options.onError)
    : new PostgresCarrier(options.databaseUrl, options.onError)
  return new Carrier(backend, options.onError)
}

function ticketOptions({ id, priority, atHead }: TicketToSend): JobsOptions {
  const order = atHead ? { lifo: true } : { priority }
  return { jobId: id, attempts: 1, removeOnComplete: true, removeOnFail: true, ...order }
}
