import { Problem } from '../problem.ts'

/** Time between two looks at whether keys still hold, in milliseconds. */
const lookEveryMs = 1_000

interface Watched {
  readonly check: () => unknown
  readonly listeners: Set<() => void>
}

/** Looks after keys that something long is open for: one look a second for each key, however much it is. */
export class Watch {
  readonly #watched = new Map<string, Watched>()
  #timer: NodeJS.Timeout | undefined

  /**
   * @param name what is watched; the same for all that end together.
   * @param check throws a Problem `unauthenticated` when it is over. @param onOver told once then.
   * @returns what ends the watch.
   */
  add(name: string, check: () => unknown, onOver: () => void): () => void {
    const watched = this.#watched.get(name) ?? { check, listeners: new Set() }
    watched.listeners.add(onOver)
    this.#watched.set(name, watched)
    this.#timer ??= setInterval(() => this.#look(), lookEveryMs).unref()
    return () => {
      watched.listeners.delete(onOver)
      if (watched.listeners.size === 0 && this.#watched.get(name) === watched) this.#watched.delete(name)
      if (this.#watched.size === 0) this.close()
    }
  }

  /** Looks no more. */
  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    for (const [name, watched] of this.#watched) {
      Promise.try(watched.check).catch((error: unknown) => {
        if (!(error instanceof Problem) || error.kind !== 'unauthenticated') return
        this.#watched.delete(name)
        for (const tell of watched.listeners) tell()
      })
    }
  }
}
