/** Lets only so many at once do something; the others wait for their turn. */
export class Turns {
  #free: number
  readonly #waiting: (() => void)[] = []
  readonly #shared = new Map<string, Promise<unknown>>()

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /** Does something when its turn has come. */
  async take<Result>(act: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await act()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }

  /** As {@link take}. Who asks for the same before its turn has come gets what comes of it too. */
  share<Result>(key: string, act: () => Promise<Result>): Promise<Result> {
    const waiting = this.#shared.get(key) as Promise<Result> | undefined
    if (waiting) return waiting
    const result = Promise.resolve().then(() =>
      this.take(() => {
        this.#shared.delete(key)
        return act()
      }),
    )
    this.#shared.set(key, result)
    return result
  }
}
