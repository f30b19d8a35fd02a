/** Time between two probes, in milliseconds; a doubt that none has dispelled by then is taken for the truth. */
const probeEveryMs = 500
/** Probes that may be unanswered at once, so that a long silence costs no memory. */
const maxUnanswered = 8

export interface CircuitOptions {
  /** Asks the server something that costs it nothing. Must end some time, one way or the other. */
  readonly probe: () => Promise<unknown>
  readonly everyMs?: number
}

/**
 * Whether it is worth while to ask a server. It is opened by who got no answer; what would be asked then is refused at once instead of
 * waiting. It probes while it is open, and is closed by the first answer.
 */
export class Circuit {
  readonly #probe: CircuitOptions['probe']
  readonly #everyMs: number
  readonly #listeners: ((open: boolean) => void)[] = []
  #state: 'closed' | 'doubted' | 'open' = 'closed'
  #unanswered = 0
  #timer: NodeJS.Timeout | undefined

  constructor({ probe, everyMs = probeEveryMs }: CircuitOptions) {
    this.#probe = probe
    this.#everyMs = everyMs
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** @param listener told whenever it has opened or closed. */
  onChange(listener: (open: boolean) => void): void {
    this.#listeners.push(listener)
  }

  /** The server is away. */
  open(): void {
    if (this.isOpen) return
    const isProbing = this.#state === 'doubted'
    this.#state = 'open'
    if (!isProbing) this.#ask()
    this.#tell()
  }

  /** The server may be away: probes, and opens unless that is answered soon. */
  doubt(): void {
    if (this.#state !== 'closed') return
    this.#state = 'doubted'
    this.#ask()
  }

  /** Probes no more. */
  stop(): void {
    clearTimeout(this.#timer)
  }

  #ask(): void {
    if (this.#unanswered < maxUnanswered) void this.#sendProbe()
    this.#timer = setTimeout(() => {
      this.open()
      this.#ask()
    }, this.#everyMs)
    this.#timer.unref()
  }

  async #sendProbe(): Promise<void> {
    this.#unanswered++
    try {
      await this.#probe()
      this.#close()
    } catch {
      if (this.#state === 'doubted') this.open()
    } finally {
      this.#unanswered--
    }
  }

  #close(): void {
    clearTimeout(this.#timer)
    const wasOpen = this.isOpen
    this.#state = 'closed'
    if (wasOpen) this.#tell()
  }

  #tell(): void {
    for (const listener of this.#listeners) listener(this.isOpen)
  }
}
