import { OverloadedError } from './errors.ts'

export interface MicroBatchOptions<Item, Result> {
  /**
   * Carries out one batch; answers one result per item, in order.
   *
   * @param since when the first of them was handed in, on the monotonic clock in milliseconds.
   */
  readonly run: (items: Item[], since: number) => Promise<Result[]>
  /** Items in one batch at most. */
  readonly maxSize?: number
  /** Batches under way at once: a second one and further ones only where there is enough waiting to fill them. */
  readonly lanes?: number
  /**
   * Time between the starts of two batches at least, in milliseconds, unless the next one is full, or as many items have come since
   * the last one was answered as it had: those who wait for answers before they go on have come back then, and no more will come.
   */
  readonly spacingMs?: number
  /** Items that may wait; one more is refused with OverloadedError. */
  readonly maxWaiting?: number
  /** Time that an item may wait for its batch, in milliseconds; then it is refused with OverloadedError. */
  readonly maxWaitMs?: number
  /** Size of an item in bytes, or whatever unit {@link maxWeight} has; 0 when absent. */
  readonly weigh?: (item: Item) => number
  /** Weight of one batch at most; a single heavier item goes alone. */
  readonly maxWeight?: number
  /** Weight that may wait; one more item is refused with OverloadedError. */
  readonly maxWaitingWeight?: number
  /** Tells an error that only some of the items can have caused; such a batch is bisected. */
  readonly isItemError?: (error: unknown) => boolean
}

interface Waiting<Item, Result> {
  readonly item: Item
  /** When it was handed in, on the monotonic clock in milliseconds. */
  readonly since: number
  readonly weight: number
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

/**
 * Spacing for statements whose batches grow with the load. A statement for one row costs Postgres and Node almost as much as one
 * for twenty; without spacing, a thousand jobs a second keep two cores busy with statements for one or two (docs/performance.md).
 */
export const groupCommitSpacingMs = 4

const unbounded = {
  maxWaitMs: Number.POSITIVE_INFINITY,
  maxWeight: Number.POSITIVE_INFINITY,
  maxWaitingWeight: Number.POSITIVE_INFINITY,
}

/**
 * Group commit: while one batch is under way, and until its spacing is over, further items gather and go together in the next.
 * An idle one adds no waiting, and a few callers that wait for their answers are not held up.
 * An item that cannot be carried out fails alone; its neighbours are carried out without it.
 */
export class MicroBatch<Item, Result> {
  readonly #options: Required<MicroBatchOptions<Item, Result>>
  #waiting: Waiting<Item, Result>[] = []
  #waitingWeight = 0
  #underWay = 0
  #weightUnderWay = 0
  #scheduled = false
  #lanesInUse = 0
  /** When the next batch may start if it is not full, on the monotonic clock in milliseconds. */
  #restsUntil = 0
  /** Items of the last batch that was answered, and items that have come since. */
  #answered = 0
  #comeSince = 0
  #endRest: (() => void) | undefined
  #expiry: NodeJS.Timeout | undefined
  #idle: (() => void)[] = []

  constructor(options: MicroBatchOptions<Item, Result>) {
    this.#options = {
      maxSize: 500,
      lanes: 2,
      spacingMs: 0,
      maxWaiting: 10_000,
      isItemError: () => false,
      weigh: () => 0,
      ...unbounded,
      ...options,
    }
  }

  /** Items that wait or are under way. */
  get size(): number {
    return this.#waiting.length + this.#underWay
  }

  /** What these weigh. */
  get weight(): number {
    return this.#waitingWeight + this.#weightUnderWay
  }

  /**
   * Queues one item.
   *
   * @returns its result, once its batch was carried out.
   * @throws OverloadedError when too many items wait, or this one has waited for too long; what {@link refuseWaiting} was given; else
   *   what `run` threw for the batch that held it.
   */
  add(item: Item): Promise<Result> {
    const { maxWaiting, maxWaitingWeight, weigh } = this.#options
    if (this.#waiting.length >= maxWaiting || this.#waitingWeight >= maxWaitingWeight) {
      return Promise.reject(new OverloadedError(`${this.#waiting.length} items wait already`))
    }
    return new Promise((resolve, reject) => {
      const weight = weigh(item)
      this.#waitingWeight += weight
      this.#waiting.push({ item, since: performance.now(), weight, resolve, reject })
      this.#comeSince++
      if (!this.#expiry) this.#expireIn(this.#options.maxWaitMs)
      if (!this.#mayGather) this.#endRest?.()
      this.#schedule()
    })
  }

  /** Refuses every item whose batch has not begun. */
  refuseWaiting(error: Error): void {
    this.#refuse(this.#waiting.length, error)
  }

  /** Resolves when nothing waits and nothing is under way. */
  async drained(): Promise<void> {
    if (this.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** Starts on the next turn of the event loop, so that what arrived in this one goes together. */
  #schedule(): void {
    if (this.#scheduled || this.#lanesInUse >= (this.#isFull ? this.#options.lanes : 1)) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      void this.#work()
    })
  }

  /** Whether it is worth while to wait for more items. */
  get #mayGather(): boolean {
    return !this.#isFull && this.#comeSince < this.#answered
  }

  get #isFull(): boolean {
    const { maxSize, maxWeight } = this.#options
    return this.#waiting.length >= maxSize || this.#waitingWeight >= maxWeight
  }

  async #work(): Promise<void> {
    this.#lanesInUse++
    while (this.#waiting.length > 0 && (this.#lanesInUse === 1 || this.#isFull)) {
      const restMs = this.#restsUntil - performance.now()
      if (restMs > 0 && this.#mayGather) {
        await this.#gather(restMs)
        continue
      }
      const batch = this.#next()
      this.#restsUntil = performance.now() + this.#options.spacingMs
      if (this.#waiting.length > 0) this.#schedule()
      const weight = weightOf(batch)
      this.#underWay += batch.length
      this.#weightUnderWay += weight
      await this.#carryOut(batch)
      this.#underWay -= batch.length
      this.#weightUnderWay -= weight
    }
    this.#lanesInUse--
    if (this.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** Lets items gather for so long, or until there is nothing to wait for. */
  async #gather(restMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#endRest = resolve
    const timer = setTimeout(resolve, restMs)
    await promise
    clearTimeout(timer)
    this.#endRest = undefined
  }

  /** Takes as many waiting items as fit into one batch, one at least. */
  #next(): Waiting<Item, Result>[] {
    const { maxSize, maxWeight } = this.#options
    let [count, weight] = [0, 0]
    for (const waiting of this.#waiting) {
      if (count === maxSize || (count > 0 && weight + waiting.weight > maxWeight)) break
      count++
      weight += waiting.weight
    }
    return this.#take(count)
  }

  #take(count: number): Waiting<Item, Result>[] {
    const taken = this.#waiting.splice(0, count)
    this.#waitingWeight -= weightOf(taken)
    return taken
  }

  #refuse(count: number, error: Error): void {
    for (const { reject } of this.#take(count)) reject(error)
  }

  /** One timer for all: it looks at those who have waited for longest, and again when the next of them will have. */
  #expireIn(ms: number): void {
    if (ms === Number.POSITIVE_INFINITY) return
    this.#expiry = setTimeout(() => {
      const latest = performance.now() - this.#options.maxWaitMs
      const patient = this.#waiting.findIndex(({ since }) => since > latest)
      const count = patient === -1 ? this.#waiting.length : patient
      this.#refuse(count, new OverloadedError(`It has waited for ${this.#options.maxWaitMs} ms`))
      const [next] = this.#waiting
      this.#expiry = undefined
      if (next) this.#expireIn(next.since - latest)
    }, ms)
    this.#expiry.unref()
  }

  async #carryOut(batch: Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#options.run(
        batch.map(({ item }) => item),
        Math.min(...batch.map(({ since }) => since)),
      )
      this.#answered = batch.length
      this.#comeSince = 0
      if (results.length !== batch.length) throw new Error(`${batch.length} items got ${results.length} results`)
      batch.forEach(({ resolve }, index) => resolve(results[index] as Result))
    } catch (error) {
      if (batch.length === 1 || !this.#options.isItemError(error)) {
        for (const { reject } of batch) reject(error)
        return
      }
      const half = batch.length >> 1
      await this.#carryOut(batch.slice(0, half))
      await this.#carryOut(batch.slice(half))
    }
  }
}

function weightOf(items: readonly { readonly weight: number }[]): number {
  return items.reduce((sum, { weight }) => sum + weight, 0)
}
