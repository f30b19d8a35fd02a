import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import type { CarrierBackend, TicketQueue, TicketWorker } from './carrier-backend.ts'
import { FetchingWorker } from './fetching-worker.ts'
import { RedisTokenStore } from './limits/redis-token-store.ts'

const prefix = 'jobyard'
/** Time after which a connection that does not answer is given up, in milliseconds: longer than a worker blocks for a ticket. */
const silentMs = 15_000
/** Time after which nothing is left of a ping, in milliseconds. */
const pingedForMs = 1_000

/** Tickets in Redis or Valkey. All queues share one connection; each worker adds one to block on. */
export class RedisCarrier implements CarrierBackend {
  readonly kind = 'redis'
  readonly addedSingly = 1
  readonly #url: string
  readonly #onError: (error: Error) => void
  readonly #connection: Redis
  readonly #tokenStores: RedisTokenStore[] = []

  /** @param url `redis://` or `rediss://`. */
  constructor(url: string, onError: (error: Error) => void) {
    this.#url = url
    this.#onError = onError
    this.#connection = new Redis(url, {
      maxRetriesPerRequest: null,
      connectTimeout: 5_000,
      socketTimeout: silentMs,
      retryStrategy: (times) => Math.min(times * 50, 1_000),
      reconnectOnError: ({ message }) => message.includes('READONLY'), // a node that is no master any more: its name leads to the new one
    })
    this.#connection.on('error', onError)
  }

  createQueue(name: string, options: Parameters<CarrierBackend['createQueue']>[1]): TicketQueue {
    return new Queue(name, { ...options, prefix, connection: this.#connection })
  }

  createWorker(name: string, options: Parameters<CarrierBackend['createWorker']>[1]): TicketWorker {
    return new FetchingWorker(name, null, { ...options, prefix, connection: this.#connection })
  }

  async migrate(): Promise<void> {}

  async check(): Promise<void> {
    const memory = await this.#connection.info('memory')
    const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1]
    if (policy !== undefined && policy !== 'noeviction') {
      throw new Error(
        `Redis would evict tickets when it is full: maxmemory-policy is ${policy}. Set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf).`,
      )
    }
  }

  /** Redis measures times of BullMQ by its own clock. */
  async forgetWrongClocks(): Promise<void> {}

  async shedDeadTickets(): Promise<void> {}

  /** Writes: a Redis that is full, or that only reads, answers a PING all the same. */
  async ping(): Promise<void> {
    await this.#connection.set(`${prefix}:pinged`, '', 'PX', pingedForMs)
  }

  openTokenStore(): RedisTokenStore {
    const store = new RedisTokenStore(this.#url, this.#onError)
    this.#tokenStores.push(store)
    return store
  }

  async disconnect(): Promise<void> {
    for (const store of this.#tokenStores) store.disconnect()
    this.#connection.disconnect()
  }
}
