import type { Sql } from '@jobyard/db/connect'
import { placedChannel } from '@jobyard/db/sequence'
import { readJobEvents, readStream, type StreamPage } from '@jobyard/db/stream'
import { optInEvents, wishForEvents, type OptInEvent } from '@jobyard/db/telling'
import type { Circuit } from '@jobyard/queues/circuit'
import { withDeadline } from '@jobyard/queues/deadline'
import { logTogether } from '@jobyard/queues/log-together'
import type { Logger } from 'pino'
import { Problem, unavailable } from '../problem.ts'
import type { StreamFilter } from './filter.ts'
import type { StreamSink } from './sink.ts'
import { StreamHub } from './stream-hub.ts'
import { Turns } from './turns.ts'
import { StreamReader, type ReaderLimits, type StreamBeginning } from './stream-reader.ts'

/** Bounds of all streams of a process. */
export interface EventStreamLimits extends ReaderLimits {
  /** Streams of one key at once. */
  readonly maxPerKey: number
  /** Streams of one tenant at once: its admins can make keys as they like. */
  readonly maxPerTenant: number
  /** Streams at once. */
  readonly maxInAll: number
  /** Longest time between two looks at what is new, in milliseconds. */
  readonly pollMs: number
}

export interface EventStreamsOptions {
  readonly sql: Sql
  readonly circuit: Circuit
  readonly log: Logger
  readonly limits?: Partial<EventStreamLimits> | undefined
}

/** Room for one stream, until it is given back. */
export interface Seat {
  /** Gives the room back; may be called again. */
  readonly release: () => void
}

/** A stream that a client may follow. */
export interface OpenedStream {
  readonly filter: StreamFilter
  readonly beginning: StreamBeginning
  readonly seat: Seat
  /** Tells once when the reader's key holds no longer; returns what ends that. */
  readonly watchKey: (onOver: () => void) => () => void
}

const defaultLimits: EventStreamLimits = {
  maxPerKey: 50,
  maxPerTenant: 400,
  maxInAll: 500,
  maxWaitingBytes: 1_048_576,
  pageWithinMs: 30_000,
  beatEveryMs: 15_000,
  pollMs: 1_000,
}
/** Positions of a page: of what is new, and for those who are behind, who are to read faster than events come. */
const pageSize = 200
const behindPageSize = 1_000
/** Events of a page of one job: as many as a reader is sent before it has to take them. */
const jobPageSize = 200
/** Pages that are read at once for those who are behind, so that they take no connection from requests. */
const maxBehind = 2
/** Time that reading a page may take, in milliseconds. */
const readWithinMs = 5_000
/** How long events are asked for at a time, in milliseconds. */
const wishForMs = 60_000
/** Time after which who could open no stream may try again, in seconds. */
const retryAfterS = 5

/** The streams of a process: how many there may be, what they read, and how they end. */
export class EventStreams {
  readonly #options: EventStreamsOptions
  readonly #limits: EventStreamLimits
  readonly #hub: StreamHub
  readonly #open = new Set<StreamReader>()
  readonly #seatsOfTenant = new Map<string, number>()
  readonly #seatsOfKey = new Map<string, number>()
  readonly #logTrouble: (error: unknown) => void
  readonly #turns = new Turns(maxBehind)
  readonly #wishes: NodeJS.Timeout
  readonly #wished = new Set<OptInEvent>()
  #isListening = false
  #seats = 0
  #closed = false

  constructor(options: EventStreamsOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#logTrouble = logTogether(options.log, 'reads', 'Streams could not be read on')
    this.#wishes = setInterval(() => {
      this.#wished.clear()
      this.#wish()
    }, wishForMs / 3).unref()
    this.#hub = new StreamHub({
      readPage: (after) => this.#read(() => readStream(options.sql, { after, limit: pageSize })),
      pollMs: this.#limits.pollMs,
      onFirst: () => this.#listen(),
    })
  }

  /**
   * Takes a seat for a stream.
   *
   * @throws Problem `rate-limited` when the key or its tenant has as many as it may, or `unavailable` when the process does, or drains.
   */
  takeSeat(tenant: string, keyId: string): Seat {
    const { maxInAll, maxPerTenant, maxPerKey } = this.#limits
    const key = `${tenant} ${keyId}`
    if (this.#closed || this.#seats >= maxInAll) throw full()
    if ((this.#seatsOfKey.get(key) ?? 0) >= maxPerKey) throw tooManyOf('key', maxPerKey)
    if ((this.#seatsOfTenant.get(tenant) ?? 0) >= maxPerTenant) throw tooManyOf('tenant', maxPerTenant)
    const count = (more: number) => {
      this.#seats += more
      add(this.#seatsOfTenant, tenant, more)
      add(this.#seatsOfKey, key, more)
    }
    count(1)
    let isTaken = true
    return {
      release: () => {
        if (isTaken) count(-1)
        isTaken = false
      },
    }
  }

  /**
   * Lets a client follow the stream until one of them ends it, and gives its seat back then.
   *
   * @param connect makes the connection to the client, which tells once it is closed.
   */
  follow({ filter, beginning, seat, watchKey }: OpenedStream, connect: (onClose: () => void) => StreamSink): void {
    const reader = new StreamReader({
      filter,
      beginning,
      live: this.#hub,
      limits: this.#limits,
      readPage: (after) => this.#readBehind(after, filter),
    })
    const unwatch = watchKey(() => reader.end('unauthenticated'))
    const onClose = () => {
      unwatch()
      this.#open.delete(reader)
      reader.close()
      seat.release()
    }
    this.#open.add(reader)
    reader.start(connect(onClose)).catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'A stream has failed')
      reader.end('draining')
    })
    this.#wish()
    if (this.#closed) reader.end('draining')
  }

  /** Ends every stream, and those that are opened from now on: the process drains. */
  close(): void {
    this.#closed = true
    clearInterval(this.#wishes)
    for (const reader of this.#open) reader.end('draining')
  }

  /** Asks for those events which are written only while somebody does; not again for those that were just asked for. */
  #wish(): void {
    const named = new Set([...this.#open].flatMap(({ filter }) => filter.events))
    const types = optInEvents.filter((type) => named.has(type) && !this.#wished.has(type))
    if (types.length === 0) return
    for (const type of types) this.#wished.add(type)
    wishForEvents(this.#options.sql, types, wishForMs).catch((error: unknown) => {
      this.#wished.clear()
      this.#logTrouble(error)
    })
  }

  /** The driver listens anew by itself whenever it has lost the connection. Whatever goes wrong, there is a look every second. */
  #listen(): void {
    if (this.#isListening) return
    this.#isListening = true
    this.#options.sql.listen(placedChannel, () => this.#hub.wake()).catch(() => undefined)
  }

  #readBehind(position: number, { tenant, jobId, events }: StreamFilter): Promise<StreamPage | undefined> {
    return jobId === undefined ? this.#readTenant(position, tenant) : this.#readJob(position, tenant, jobId, events)
  }

  /** Pages begin at multiples of their size, so that those who are about as far behind share them; a reader skips what it has. */
  #readTenant(position: number, tenant: string): Promise<StreamPage | undefined> {
    const range = { after: position - (position % behindPageSize), limit: behindPageSize, tenant }
    return this.#turns.share(`${range.after} ${tenant}`, () => this.#read(() => readStream(this.#options.sql, range)))
  }

  #readJob(after: number, tenant: string, jobId: string, types: readonly string[]): Promise<StreamPage | undefined> {
    const range = { tenant, jobId, after, limit: jobPageSize, types }
    return this.#turns.take(() => this.#read(() => readJobEvents(this.#options.sql, range)))
  }

  async #read(readPage: () => Promise<StreamPage>): Promise<StreamPage | undefined> {
    const { circuit } = this.#options
    try {
      if (!circuit.isOpen) return await withDeadline(readPage(), readWithinMs, 'Reading the stream')
    } catch (error) {
      this.#logTrouble(error)
      circuit.doubt()
    }
    await new Promise((resolve) => setTimeout(resolve, this.#limits.pollMs))
    return undefined
  }
}

/** Changes a count, and forgets one that is zero. */
function add(counts: Map<string, number>, name: string, more: number): void {
  const count = (counts.get(name) ?? 0) + more
  if (count > 0) counts.set(name, count)
  else counts.delete(name)
}

function tooManyOf(holder: 'key' | 'tenant', max: number): Problem {
  const text = `This ${holder} reads ${max} streams of this process already, and may not read more. Close one first.`
  return new Problem('rate-limited', text, { headers: { 'retry-after': String(retryAfterS) } })
}

function full(): Problem {
  return unavailable('This process can open no further stream. Try again; another process may take it.')
}
