import { Readable } from 'node:stream'

/** Puts answers, one line each, into the order in which they were promised, and writes those that came together as one piece. */
export class OrderedAnswers {
  /** What the client reads. */
  readonly output: Readable
  readonly #onProgress: () => void
  /** From the first unwritten one on; undefined while it is only promised. */
  readonly #lines: (string | undefined)[] = []
  /** Index of the first of them. */
  #first = 0
  #length = 0
  #wanted = true
  #scheduled = false

  /** @param onProgress told when answers have come or were written. */
  constructor(onProgress: () => void) {
    this.#onProgress = onProgress
    this.output = new Readable({
      read: () => {
        this.#wanted = true
        this.#write()
      },
    })
  }

  /** Answers promised so far. */
  get promised(): number {
    return this.#first + this.#lines.length
  }

  /** Answers that were promised and are not written. */
  get unwritten(): number {
    return this.#lines.length
  }

  /** Characters of answers that have come and are not written. */
  get length(): number {
    return this.#length
  }

  /** False while the client does not read what was written. */
  get wanted(): boolean {
    return this.#wanted
  }

  /** @returns the index of one more answer. */
  promise(): number {
    return this.#first + this.#lines.push(undefined) - 1
  }

  /** Gives a promised answer. It is written at the end of this turn of the event loop, or when those before it have come. */
  give(index: number, answer: unknown): void {
    const line = `${JSON.stringify(answer)}\n`
    this.#lines[index - this.#first] = line
    this.#length += line.length
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#write()
    })
  }

  /** Ends the output. @param last one more answer, for nothing that was promised. */
  end(last?: unknown): void {
    if (last !== undefined) this.output.push(`${JSON.stringify(last)}\n`)
    this.output.push(null)
  }

  #write(): void {
    const missing = this.#lines.indexOf(undefined)
    const count = missing === -1 ? this.#lines.length : missing
    if (count > 0 && this.#wanted && !this.output.destroyed) {
      const piece = this.#lines.splice(0, count).join('')
      this.#first += count
      this.#length -= piece.length
      this.#wanted = this.output.push(piece)
    }
    this.#onProgress()
  }
}
