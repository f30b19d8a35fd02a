import type { Limit } from '@jobyard/queues/limits/limit'
import type { Taken, TokenStore } from '@jobyard/queues/limits/token-store'
import { withDeadline } from '@jobyard/queues/deadline'
import type { Logger } from 'pino'

/** Time after which the store counts as away when it has not answered, in milliseconds. */
const answerWithinMs = 250
/** Time between two looks whether it is back, in milliseconds. */
const lookEveryMs = 1_000
/** Bucket that looks take from, and put back by letting it fill. */
const looks: Limit = { perMs: 1, burst: 1_000 }

/** The store that all processes share, and whether it answers. */
export class WatchedStore {
  readonly #store: TokenStore
  readonly #log: Logger
  #looking: NodeJS.Timeout | undefined
  #closed = false

  constructor(store: TokenStore, log: Logger) {
    this.#store = store
    this.#log = log
  }

  /** False from when it failed until a look has found it answering. */
  get answers(): boolean {
    return this.#looking === undefined
  }

  /** As the store's. @returns undefined when it did not answer in time. */
  async take(bucket: string, limit: Limit, least: number, most: number): Promise<Taken | undefined> {
    try {
      return await withDeadline(
        this.#store.take(bucket, limit, least, most),
        answerWithinMs,
        'The store of rate limits',
      )
    } catch (error) {
      if (this.answers && !this.#closed) {
        this.#log.warn({ err: error }, 'The store of rate limits is away: each API limits by itself until it is back')
        this.#looking = setInterval(() => void this.#look(), lookEveryMs).unref()
      }
      return undefined
    }
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#looking)
  }

  async #look(): Promise<void> {
    if (this.answers || !(await this.take('looks', looks, 1, 1)) || this.answers) return
    clearInterval(this.#looking)
    this.#looking = undefined
    this.#log.info('The store of rate limits is back: limits are shared by all APIs again')
  }
}
