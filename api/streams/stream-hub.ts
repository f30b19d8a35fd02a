import type { StreamEvent, StreamPage } from '@jobyard/db/stream'
import type { LiveEvents, StreamReader } from './stream-reader.ts'

export interface StreamHubOptions {
  /** Reads a page of everybody's events; undefined when that met trouble, and some time has passed. */
  readonly readPage: (after: number) => Promise<StreamPage | undefined>
  /** Longest time between two looks, in milliseconds. */
  readonly pollMs: number
  /** Events that are kept for those who have nearly caught up: else none would, while pages come faster than it reads them. */
  readonly maxRecent?: number
  /** Called when the first reader comes: from now on {@link StreamHub.wake} is worth calling. */
  readonly onFirst: () => void
}

const defaultMaxRecent = 2_000

/** Reads what is new in the stream, once for all readers of a process, and only while there are any. */
export class StreamHub implements LiveEvents {
  readonly #options: StreamHubOptions
  readonly #readers = new Set<StreamReader>()
  #through = 0
  /** Every event after `#recentAfter` up to `#through`. */
  #recent: StreamEvent[] = []
  #recentAfter = 0
  #isReading = false
  #isAwake = false
  #wakeUp: (() => void) | undefined

  constructor(options: StreamHubOptions) {
    this.#options = options
  }

  /**
   * From now on hands the reader everything that follows its position.
   *
   * @returns false when the reader is too far behind, and must read on by itself.
   */
  join(reader: StreamReader): boolean {
    if (!this.#isReading) this.#start(reader.position)
    if (reader.position < this.#recentAfter) return false
    this.#readers.add(reader)
    reader.take({ events: this.#recent, through: this.#through, tail: 0 })
    return true
  }

  leave(reader: StreamReader): void {
    this.#readers.delete(reader)
    if (this.#readers.size === 0) this.wake()
  }

  /** There may be something new. */
  wake(): void {
    this.#isAwake = true
    this.#wakeUp?.()
  }

  #start(position: number): void {
    this.#isReading = true
    this.#through = this.#recentAfter = position
    this.#recent = []
    this.#options.onFirst()
    queueMicrotask(() => void this.#readOn())
  }

  async #readOn(): Promise<void> {
    while (this.#readers.size > 0) {
      this.#isAwake = false
      const page = await this.#options.readPage(this.#through)
      if (page) this.#handOut(page)
      if (!page || page.through >= page.head) await this.#untilAwake()
    }
    this.#isReading = false
  }

  #handOut({ events, through, tail }: StreamPage): void {
    const isGap = tail > this.#through
    this.#through = Math.max(through, tail)
    this.#remember(events, isGap ? tail : undefined)
    const byTenant = Map.groupBy(events, ({ tenant }) => tenant)
    for (const reader of this.#readers) {
      reader.take({ events: byTenant.get(reader.filter.tenant) ?? [], through: this.#through, tail })
    }
  }

  #remember(events: readonly StreamEvent[], gapUpTo: number | undefined): void {
    const { maxRecent = defaultMaxRecent } = this.#options
    const recent = gapUpTo === undefined ? [...this.#recent, ...events] : [...events]
    const forgotten = recent.length > maxRecent ? recent.at(-maxRecent - 1)?.position : gapUpTo
    this.#recentAfter = forgotten ?? this.#recentAfter
    this.#recent = recent.slice(-maxRecent)
  }

  async #untilAwake(): Promise<void> {
    if (this.#isAwake) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#options.pollMs)
      this.#wakeUp = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wakeUp = undefined
  }
}
