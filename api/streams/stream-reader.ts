import type { StreamPage } from '@jobyard/db/stream'
import { isLastOne, isWanted, type StreamFilter } from './filter.ts'
import {
  deletedMessage,
  endMessage,
  eventMessage,
  failoverMessage,
  type EndReason,
  type StreamMessage,
} from './message.ts'
import { idOf, rewound, type Place } from './place.ts'
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
export interface StreamPart extends Pick<StreamPage, 'events' | 'through' | 'tail' | 'timeline'> {
  /** Where to go on, since positions after it may mean other events than they did: see {@link rewound}. */
  readonly rewound?: number | undefined
}

/** Where readers find what is new: see {@link import('./stream-hub.ts').StreamHub}. */
export interface LiveEvents {
  join(reader: StreamReader): boolean
  leave(reader: StreamReader): void
}

/** Where a reader begins. */
export interface StreamBeginning {
  /** How far it has come. */
  readonly place: Place
  /** Whether it has come to another place, which is no more. */
  readonly isRewound?: boolean
  /** Whether nothing comes before what is new. */
  readonly isCaughtUp: boolean
}

export interface StreamReaderOptions {
  readonly filter: StreamFilter
  readonly beginning: StreamBeginning
  readonly live: LiveEvents
  readonly limits: ReaderLimits
  /** Reads a page of what the reader may want; undefined when that met trouble, and some time has passed. */
  readonly readPage: (after: number) => Promise<StreamPage | undefined>
}

/** Time between two looks at what a reader has taken, in milliseconds. */
const lookEveryMs = 20
/** Events that a reader which is behind is sent before it has to take them. */
const partSize = 200

/**
 * One reader of the stream. It reads by pages until it has come to what is new, at the pace at which its pages are taken, and then is
 * handed what everybody is handed.
 */
export class StreamReader {
  readonly filter: StreamFilter
  readonly #options: StreamReaderOptions
  #sink: StreamSink | undefined
  #place: Place
  #ended = false
  #beats: NodeJS.Timeout | undefined

  constructor(options: StreamReaderOptions) {
    this.#options = options
    this.filter = options.filter
    this.#place = options.beginning.place
  }

  /** How far it has come in the stream. */
  get place(): Place {
    return this.#place
  }

  /** Reads on until it is handed what everybody is, or has ended. */
  async start(sink: StreamSink): Promise<void> {
    const { beginning, limits } = this.#options
    this.#sink = sink
    this.#beats = setInterval(() => sink.beat(idOf(this.#place)), limits.beatEveryMs)
    sink.open(idOf(this.#place))
    if (beginning.isRewound) sink.send([failoverMessage(this.#place)])
    await this.#catchUp()
  }

  /** Takes what follows. Who has not taken what it was sent before is dropped. */
  take(part: StreamPart): void {
    const sink = this.#sink
    if (this.#ended || !sink) return
    if (sink.waitingBytes > this.#options.limits.maxWaitingBytes) return this.end('slow')
    if (part.rewound !== undefined && this.filter.jobId !== undefined) return this.#beginAnew(part)
    const resets = this.#skipTo(part)
    const { position, timeline } = this.#place
    const news = part.events.filter((event) => event.position > position)
    const last = news.find((event) => isLastOne(event, this.filter))
    const wanted = news.filter((event) => isWanted(event, this.filter) && (!last || event.position <= last.position))
    const messages = [...resets, ...wanted.map((event) => eventMessage(event, timeline))]
    if (messages.length > 0) sink.send(messages)
    this.#place = { position: Math.max(position, last?.position ?? part.through), timeline }
    if (last) this.end()
  }

  /** Ends the stream. @param reason when the reader wanted more: it is told where to read on. */
  end(reason?: EndReason): void {
    if (this.#ended) return
    if (reason) this.#sink?.send([endMessage(this.#place, reason)])
    this.close()
    this.#sink?.end(reason)
  }

  /** The reader is gone. */
  close(): void {
    this.#ended = true
    clearInterval(this.#beats)
    this.#options.live.leave(this)
  }

  /** Has the reader of one job connect again, for its whole history: that it ends may stand where it has read already. */
  #beginAnew({ timeline }: StreamPart): void {
    this.#place = { position: 0, timeline }
    this.#sink?.send([failoverMessage(this.#place)])
    this.end('failover')
  }

  /** Goes back or on to where the part begins. @returns what tells the reader so. */
  #skipTo({ rewound: rewoundTo, tail, timeline }: StreamPart): StreamMessage[] {
    const resets: StreamMessage[] = []
    if (rewoundTo !== undefined) {
      this.#place = { position: Math.min(this.#place.position, rewoundTo), timeline }
      resets.push(failoverMessage(this.#place))
    }
    const { position } = this.#place
    if (position < tail) {
      this.#place = { ...this.#place, position: tail }
      resets.push(deletedMessage(position, this.#place))
    }
    return resets
  }

  async #catchUp(): Promise<void> {
    const { live, readPage } = this.#options
    let { isCaughtUp } = this.#options.beginning
    while (!this.#ended) {
      if (isCaughtUp && live.join(this)) return
      const page = await readPage(this.#place.position)
      if (!page) continue
      for (const part of partsOf(page, rewound(this.#place, page))) {
        this.take(part)
        await this.#untilTaken()
      }
      isCaughtUp = page.through >= page.head
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

/** Cuts a page into what a reader is sent before it has to take it. */
function partsOf({ events, through, head, tail, timeline }: StreamPage, rewoundTo: number | undefined): StreamPart[] {
  const chunks = Array.from({ length: Math.ceil(events.length / partSize) }, (_, index) =>
    events.slice(index * partSize, (index + 1) * partSize),
  )
  const end = Math.min(through, head)
  return [...chunks, []].map((chunk, index) => ({
    events: chunk,
    through: chunk.at(-1)?.position ?? end,
    tail,
    timeline,
    rewound: index === 0 ? rewoundTo : undefined,
  }))
}
