import type { StreamEvent, StreamPage } from '@jobyard/db/stream'
import { isLastOne, isWanted, type StreamFilter } from './filter.ts'
import { endMessage, eventMessage, resetMessage, type EndReason, type StreamMessage } from './message.ts'
import type { StreamSink } from './sink.ts'

/** Bounds of one reader. */
export interface ReaderLimits {
  /** Bytes that may wait for a reader before it is given more; who has not taken them by then is dropped. */
  readonly maxWaitingBytes: number
  /** Time that a reader which is behind has to take a page, in milliseconds. */
  readonly pageWithinMs: number
  /** Time between two signs of life, in milliseconds. */
  readonly beatEveryMs: number
}

/** A part of the stream that follows what was read before. */
export type StreamPart = Pick<StreamPage, 'events' | 'through' | 'tail'>

/** Where readers find what is new: see {@link import('./stream-hub.ts').StreamHub}. */
export interface LiveEvents {
  join(reader: StreamReader): boolean
  leave(reader: StreamReader): void
}

/** Where a reader begins. */
export interface StreamBeginning {
  /** How far it has come. */
  readonly position: number
  /** All that it wants of the stream up to some place. */
  readonly history?: Pick<StreamPart, 'events' | 'through'> | undefined
  /** Whether nothing else comes before what is new. */
  readonly isCaughtUp: boolean
}

export interface StreamReaderOptions {
  readonly filter: StreamFilter
  readonly beginning: StreamBeginning
  readonly live: LiveEvents
  readonly limits: ReaderLimits
  /** Reads a page of the tenant's events; undefined when that met trouble, and some time has passed. */
  readonly readPage: (after: number, tenant: string) => Promise<StreamPage | undefined>
}

/** Time between two looks at what a reader has taken, in milliseconds. */
const lookEveryMs = 20

/**
 * One reader of the stream. It reads by pages until it has come to what is new, at the pace at which its pages are taken, and then is
 * handed what everybody is handed.
 */
export class StreamReader {
  readonly filter: StreamFilter
  readonly #options: StreamReaderOptions
  #sink: StreamSink | undefined
  #position: number
  #ended = false
  #beats: NodeJS.Timeout | undefined

  constructor(options: StreamReaderOptions) {
    this.#options = options
    this.filter = options.filter
    this.#position = options.beginning.position
  }

  /** How far it has come in the stream. */
  get position(): number {
    return this.#position
  }

  /** Reads on until it is handed what everybody is, or has ended. */
  async start(sink: StreamSink): Promise<void> {
    const { beginning, limits } = this.#options
    this.#sink = sink
    this.#beats = setInterval(() => sink.beat(this.#position), limits.beatEveryMs)
    sink.open(this.#position)
    if (beginning.history) this.take({ ...beginning.history, tail: 0 })
    await this.#catchUp()
  }

  /** Takes what follows. Who has not taken what it was sent before is dropped. */
  take({ events, through, tail }: StreamPart): void {
    const sink = this.#sink
    if (this.#ended || !sink) return
    if (sink.waitingBytes > this.#options.limits.maxWaitingBytes) return this.end('slow')
    const reset = this.#position < tail ? [resetMessage(this.#position, tail)] : []
    const from = Math.max(this.#position, tail)
    const news = events.filter(({ position }) => position > from)
    const last = news.find((event) => isLastOne(event, this.filter))
    const messages = [...reset, ...this.#messagesOf(news, last)]
    if (messages.length > 0) sink.send(messages)
    this.#position = Math.max(from, last?.position ?? through)
    if (last) this.end()
  }

  /** Ends the stream. @param reason when the reader wanted more: it is told where to read on. */
  end(reason?: EndReason): void {
    if (this.#ended) return
    if (reason) this.#sink?.send([endMessage(this.#position, reason)])
    this.close()
    this.#sink?.end(reason)
  }

  /** The reader is gone. */
  close(): void {
    this.#ended = true
    clearInterval(this.#beats)
    this.#options.live.leave(this)
  }

  #messagesOf(events: readonly StreamEvent[], last: StreamEvent | undefined): StreamMessage[] {
    return events
      .filter((event) => isWanted(event, this.filter) && (!last || event.position <= last.position))
      .map(eventMessage)
  }

  async #catchUp(): Promise<void> {
    const { live, readPage } = this.#options
    let { isCaughtUp } = this.#options.beginning
    while (!this.#ended) {
      if (isCaughtUp && live.join(this)) return
      const page = await readPage(this.#position, this.filter.tenant)
      if (!page) continue
      this.take(page)
      isCaughtUp = page.through >= page.head
      await this.#untilTaken()
    }
  }

  /** Waits until nothing waits for the reader; drops it when it takes too long. */
  async #untilTaken(): Promise<void> {
    const deadline = performance.now() + this.#options.limits.pageWithinMs
    while (!this.#ended && this.#sink && this.#sink.waitingBytes > 0) {
      if (performance.now() > deadline) return this.end('slow')
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
    }
  }
}
