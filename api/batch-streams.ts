import type { Readable } from 'node:stream'
import { BatchStream, type BatchStreamOptions, type StreamLimits } from './batch-stream.ts'

const defaultLimits: StreamLimits = {
  maxItems: 100_000,
  maxLineBytes: 1_048_576,
  maxBytes: 256 * 1_048_576,
  idleMs: 30_000,
  maxUnderWay: 2_000,
  maxHeldBytes: 16 * 1_048_576,
  heldUpMs: 15_000,
}

const stopping = 'This process stops.'
const away = 'The database does not answer.'

/** The streams of a process. What may be at the intake they share evenly, so that they never crowd out each other or anybody else. */
export class BatchStreams {
  readonly #items: BatchStreamOptions['items']
  readonly #limits: StreamLimits
  readonly #open = new Set<BatchStream>()
  /** Streams that keep the intake busy. */
  #busy = 0
  #heldUp = false
  #patience: NodeJS.Timeout | undefined
  #closed = false

  constructor(items: BatchStreamOptions['items'], limits: Partial<StreamLimits> = {}) {
    this.#items = items
    this.#limits = { ...defaultLimits, ...limits }
  }

  /** Starts to read a stream of jobs, no faster than `pace` allows. */
  open(tenant: string, source: Readable, pace?: BatchStreamOptions['pace']): BatchStream {
    const stream = new BatchStream(source, {
      tenant,
      items: this.#items,
      pace,
      limits: this.#limits,
      share: () => (this.#heldUp ? 0 : 1 / Math.max(this.#busy, 1)),
      onBusy: (busy) => {
        this.#busy += busy ? 1 : -1
      },
    })
    this.#open.add(stream)
    void stream.ended.then(() => this.#open.delete(stream))
    if (this.#closed) stream.interrupt(stopping)
    return stream
  }

  /** Lets no stream hand anything in, or lets them go on. Those that are held up for too long end as they do at {@link close}. */
  holdUp(heldUp: boolean): void {
    this.#heldUp = heldUp
    clearTimeout(this.#patience)
    if (heldUp) this.#patience = setTimeout(() => this.#interrupt(away), this.#limits.heldUpMs)
    else for (const stream of this.#open) stream.goOn()
  }

  /** Lets every stream answer what it has handed in and end, those that are opened from now on too. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#patience)
    this.#interrupt(stopping)
  }

  #interrupt(why: string): void {
    for (const stream of this.#open) stream.interrupt(why)
  }

  get closed(): boolean {
    return this.#closed
  }
}
