import type { StreamEvent, StreamPage } from '@jobyard/db/stream'
import { rewound, type Place } from './place.ts'
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
  #timeline = 0
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
   * @returns false when the reader must read on by itself: it is too far behind.
   */
  join(reader: StreamReader): boolean {
    if (!this.#isReading) this.#start(reader.place)
    if (reader.place.timeline !== this.#timeline) this.wake() // one of the two has yet to see that a standby took over
    if (reader.place.timeline !== this.#timeline || reader.place.position < this.#recentAfter) return false
    this.#readers.add(reader)
    reader.take({ events: this.#recent, through: this.#through, tail: 0, timeline: this.#timeline })
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

  #start({ position, timeline }: Place): void {
    this.#timeline = timeline
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

  #handOut({ events, through, head, tail, timeline }: StreamPage): void {
    const rewoundTo = rewound({ position: this.#through, timeline: this.#timeline }, { head, timeline })
    const isGap = rewoundTo !== undefined || tail > this.#through
    this.#through = Math.max(Math.min(through, head), tail)
    this.#timeline = timeline
    this.#remember(events, isGap ? Math.max(rewoundTo ?? tail, tail) : undefined)
    const byTenant = Map.groupBy(events, ({ tenant }) => tenant)
    for (const reader of this.#readers) {
      const mine = byTenant.get(reader.filter.tenant) ?? []
      reader.take({ events: mine, through: this.#through, tail, timeline, rewound: rewoundTo })
    }
  }

  /** @param gapUpTo what was remembered leads up to another event than this one. */
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
