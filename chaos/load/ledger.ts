/** What the client wants of a job, and hence how it must end. */
export interface Wish {
  readonly type: string
  readonly input: { readonly [name: string]: unknown }
  readonly delayMs?: number
  readonly priority?: number
  readonly tags?: readonly string[]
  /** Attempts that fail before one succeeds. */
  readonly failures: number
}

/** One job as the client knows it: what it asked for, and what it was told. */
export interface Entry {
  /** Its idempotency key, which also stands in the job's metadata. */
  readonly key: string
  readonly wish: Wish
  /** On the monotonic clock, in milliseconds. */
  readonly sentAt: number
  /** The id that a 2xx named. */
  id?: string
  acceptedAt?: number
  /** Answers before that, and what else the client saw. */
  readonly seen: string[]
  /** What came of asking for its cancellation: nothing known yet, agreed to, or refused because it had ended. */
  cancel?: 'asked' | 'agreed' | 'refused'
}

/** What a client wrote down: the only witness of what was promised. */
export class Ledger {
  readonly #entries = new Map<string, Entry>()
  readonly #accepted: Entry[] = []
  /** Time from sending a request to its 2xx, of the requests since {@link forgetLatencies}, in milliseconds. */
  #latencies: number[] = []
  readonly #waiting: { count: number; resolve: () => void }[] = []

  /** Jobs that were answered with 2xx, oldest first. */
  get accepted(): readonly Entry[] {
    return this.#accepted
  }

  get latencies(): readonly number[] {
    return this.#latencies
  }

  find(key: string): Entry | undefined {
    return this.#entries.get(key)
  }

  /** Every job that was ever sent. */
  get sent(): Iterable<Entry> {
    return this.#entries.values()
  }

  noteSent(key: string, wish: Wish): Entry {
    const entry: Entry = { key, wish, sentAt: performance.now(), seen: [] }
    this.#entries.set(key, entry)
    return entry
  }

  /** @param requestedAt when the request that was answered had been sent, on the monotonic clock. */
  noteAccepted(entry: Entry, id: string, requestedAt: number): void {
    if (entry.id !== undefined) return
    entry.id = id
    entry.acceptedAt = performance.now()
    this.#latencies.push(entry.acceptedAt - requestedAt)
    this.#accepted.push(entry)
    for (const waiter of this.#waiting) if (this.#accepted.length >= waiter.count) waiter.resolve()
  }

  forgetLatencies(): void {
    this.#latencies = []
  }

  /** Resolves when so many more jobs have been accepted. */
  async accepts(more: number): Promise<void> {
    const count = this.#accepted.length + more
    await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }))
  }
}
