/** Time between two nudges at least, in milliseconds. */
const spacingMs = 50

/** Turns many calls into few: the first goes out at once, those that follow share one later. What fails is forgotten: nudges only save time. */
export class Nudge {
  readonly #send: () => Promise<unknown> | void
  readonly #spacingMs: number
  #timer: NodeJS.Timeout | undefined
  #again = false

  /** @param send is never called more often than every `everyMs` milliseconds. */
  constructor(send: () => Promise<unknown> | void, everyMs = spacingMs) {
    this.#send = send
    this.#spacingMs = everyMs
  }

  /** Asks for a nudge now or soon. */
  give(): void {
    if (this.#timer) {
      this.#again = true
      return
    }
    this.#timer = setTimeout(() => this.#next(), this.#spacingMs)
    void (async () => this.#send())().catch(() => {})
  }

  /** Gives up what was to come. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#again = false
  }

  #next(): void {
    const again = this.#again
    this.stop()
    if (again) this.give()
  }
}
