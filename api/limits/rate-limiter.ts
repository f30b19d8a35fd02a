import type { Limit } from '@jobyard/queues/limits/limit'
import { LeasedBucket } from './leased-bucket.ts'
import type { WatchedStore } from './watched-store.ts'

/** Time between two looks for buckets that are full again, in milliseconds. */
const forgetEveryMs = 1_000

/** One limit, with a bucket for each of those that it holds for; buckets that are full again are forgotten. */
export class RateLimiter {
  /** What it counts by: `tenant` or `key`. */
  readonly name: string
  readonly limit: Limit
  readonly #store: WatchedStore | undefined
  readonly #buckets = new Map<string, LeasedBucket>()
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

  bucketOf(id: string): LeasedBucket {
    const known = this.#buckets.get(id)
    if (known) return known
    const bucket = new LeasedBucket({ name: `${this.name}:${id}`, limit: this.limit, store: this.#store })
    this.#buckets.set(id, bucket)
    return bucket
  }

  close(): void {
    clearInterval(this.#forgetting)
  }

  #forget(): void {
    for (const [id, bucket] of this.#buckets) if (bucket.isFull) this.#buckets.delete(id)
  }
}
