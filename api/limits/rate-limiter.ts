import type { Limit } from '@jobyard/queues/limits/limit'
import { LeasedBucket } from './leased-bucket.ts'
import type { WatchedStore } from './watched-store.ts'

/** Time between two looks for buckets that are full again, in milliseconds. */
const forgetEveryMs = 1_000

/** What one tenant or key has of a limit. */
export interface Held {
  /** `tenant` or `key`. */
  readonly name: string
  readonly limit: Limit
  readonly bucket: LeasedBucket
}

/** One limit, with a bucket for each of those that it holds for; buckets that are full again are forgotten. */
export class RateLimiter {
  /** What it counts by: `tenant` or `key`. */
  readonly name: string
  readonly limit: Limit
  readonly #store: WatchedStore | undefined
  readonly #buckets = new Map<string, Held>()
  readonly #forgetting: NodeJS.Timeout

  constructor(name: string, limit: Limit, store?: WatchedStore) {
    this.name = name
    this.limit = limit
    this.#store = store
    this.#forgetting = setInterval(() => this.#forget(), forgetEveryMs).unref()
  }

  /** Buckets that are kept. */
  get size(): number {
    return this.#buckets.size
  }

  /** @returns what a tenant or key has. */
  of(id: string): Held {
    const known = this.#buckets.get(id)
    if (known) return known
    const { name, limit } = this
    const held = { name, limit, bucket: new LeasedBucket({ name: `${name}:${id}`, limit, store: this.#store }) }
    this.#buckets.set(id, held)
    return held
  }

  close(): void {
    clearInterval(this.#forgetting)
  }

  #forget(): void {
    for (const [id, { bucket }] of this.#buckets) if (bucket.isFull) this.#buckets.delete(id)
  }
}
