import type { Limit } from '@jobyard/queues/limits/limit'
import { fullAfterTaking, msUntil, tokensAt } from '@jobyard/queues/limits/token-bucket'
import type { WatchedStore } from './watched-store.ts'

/** Time that a lease is to last, by the use in a stretch of time before it, in milliseconds. */
const aheadMs = 100
const stretchMs = 20
/** Tokens that are leased ahead however little is used. */
const leastAhead = 50
/** Part of a full bucket that a process leases ahead at most: none of a small one, which is thereby exact. */
const greatestPart = 1 / 20
/** Time after which what was leased and not used is given up, in milliseconds. */
const leaseMs = 1_000
/** Time in which a store that had less than it was asked for is not asked again, in milliseconds. */
const restMs = 20
/** Time that a request waits for the store before this process decides by itself, in milliseconds. */
const patienceMs = 5

export interface LeasedBucketOptions {
  readonly name: string
  readonly limit: Limit
  /** Where all processes share the bucket; absent: it is this process's own. */
  readonly store?: WatchedStore | undefined
  /** A clock that is never set, in milliseconds. */
  readonly now?: () => number
}

/** A question to the store that has no answer yet. */
interface Asking {
  /** Nobody waits for the answer any longer. */
  isLate: boolean
  /** Resolves with the answer, or when it is late. */
  readonly waited: Promise<void>
}

/**
 * The tokens of one tenant or key. They are leased in blocks from the bucket that all processes share, before they are needed, and
 * taken from the lease without asking anybody. Beside it stands a bucket of this process alone with the same limit, from which the same
 * is taken: it decides while the store does not, so that one process never lets more through than the limit.
 */
export class LeasedBucket {
  readonly #options: LeasedBucketOptions
  readonly #now: () => number
  /** When the bucket of this process is full; the shared one, as it was seen last. What others took since is not known. */
  #fullAt = 0
  #sharedFullAt = 0
  /** Negative: taken without having been leased, while the store was late. */
  #leased = 0
  #leaseEndsAt = 0
  #restsUntil = 0
  #asking: Asking | undefined
  /** Taken in this stretch of time, which began then, and per millisecond in the one before. */
  #used = 0
  #stretchBegan = 0
  #usedPerMs = 0
  /** What those want who wait for the store. */
  readonly #wanted: number[] = []

  constructor(options: LeasedBucketOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /** @returns whether so many tokens may be taken now; undefined when only the store can say, see {@link prepare}. */
  admits(tokens: number, now = this.#now()): boolean | undefined {
    const { limit, store } = this.#options
    if (tokensAt(limit, this.#fullAt, now) < tokens) return false
    if (!store?.answers) return true
    this.#endLease(now)
    if (this.#leased >= tokens) return true
    if (now < this.#restsUntil || this.#atMost(now) < tokens) return false
    return this.#asking?.isLate ? true : undefined
  }

  /** Waits, for a few milliseconds at most, until {@link admits} knows. */
  async prepare(tokens: number): Promise<void> {
    this.#wanted.push(tokens)
    try {
      while (this.admits(tokens) === undefined) await (this.#asking ?? this.#ask()).waited
    } finally {
      this.#wanted.splice(this.#wanted.indexOf(tokens), 1)
    }
  }

  /** Takes tokens; what the lease lacks is paid from the next one. */
  take(tokens: number, now = this.#now()): void {
    const { limit, store } = this.#options
    this.#fullAt = fullAfterTaking(limit, this.#fullAt, now, tokens)
    if (!store?.answers) return
    this.#leased -= tokens
    this.#measure(now, tokens)
    const isShort = this.#leased < this.#ahead(now) / 2
    if (isShort && !this.#asking && now >= this.#restsUntil && this.#atMost(now) >= 1) this.#ask()
  }

  /** @returns tokens that are left, as far as this process knows. */
  left(now = this.#now()): number {
    return Math.max(0, Math.min(tokensAt(this.#options.limit, this.#fullAt, now), this.#atMost(now)))
  }

  /** @returns time until so many tokens can be taken at the earliest, in milliseconds. */
  msUntil(tokens: number, now = this.#now()): number {
    const { limit } = this.#options
    const lacking = tokens - Math.max(0, this.#leased)
    return Math.max(msUntil(limit, this.#fullAt, now, tokens), msUntil(limit, this.#sharedFullAt, now, lacking))
  }

  /** It is as good as a new one. */
  get isFull(): boolean {
    const now = this.#now()
    return now >= this.#fullAt && now >= this.#sharedFullAt && now >= this.#leaseEndsAt && !this.#asking
  }

  /** What the lease and the shared bucket may hold together. */
  #atMost(now: number): number {
    return this.#leased + tokensAt(this.#options.limit, this.#sharedFullAt, now)
  }

  #endLease(now: number): void {
    if (now >= this.#leaseEndsAt) this.#leased = Math.min(this.#leased, 0)
  }

  /** Tokens that are leased before anybody wants them: as many as are used in a while. */
  #ahead(now: number): number {
    const perMs = Math.max(this.#usedPerMs, this.#used / Math.max(now - this.#stretchBegan, stretchMs))
    return Math.floor(Math.min(this.#options.limit.burst * greatestPart, Math.max(perMs * aheadMs, leastAhead)))
  }

  #measure(now: number, tokens: number): void {
    this.#used += tokens
    const ms = now - this.#stretchBegan
    if (ms < stretchMs) return
    this.#usedPerMs = this.#used / ms
    this.#used = 0
    this.#stretchBegan = now
  }

  #ask(): Asking {
    let release = () => {}
    const waited = new Promise<void>((resolve) => (release = resolve))
    const asking: Asking = { isLate: false, waited }
    this.#asking = asking
    const giveUp = () => {
      asking.isLate = true
      release()
    }
    const late = setTimeout(() => setImmediate(giveUp), patienceMs) // an answer that has come while this process was busy counts
    void this.#lease().then(() => {
      clearTimeout(late)
      this.#asking = undefined
      release()
    })
    return asking
  }

  /** Asks at the end of this turn of the event loop, for all who want something by then. */
  async #lease(): Promise<void> {
    const { name, limit, store } = this.#options
    await new Promise((resolve) => setImmediate(resolve))
    const askedAt = this.#now()
    this.#endLease(askedAt)
    const all = this.#wanted.reduce((sum, tokens) => sum + tokens, 0)
    const least = this.#wanted.length > 0 ? Math.max(1, Math.min(...this.#wanted) - this.#leased) : 1
    const most = Math.max(least, this.#ahead(askedAt) + all - this.#leased)
    const taken = await store?.take(name, limit, least, most)
    const now = this.#now()
    if (!taken) {
      this.#leased = 0
      return
    }
    this.#endLease(now)
    this.#leased += taken.tokens
    this.#leaseEndsAt = now + leaseMs
    this.#sharedFullAt = now + taken.fullInMs
    if (taken.tokens < most) this.#restsUntil = now + restMs
  }
}
