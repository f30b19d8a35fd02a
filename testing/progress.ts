import { styleText } from 'node:util'

/** Shows what a long run is at: one line that is rewritten on a terminal, plain lines elsewhere. */
export class Progress {
  readonly #stream: NodeJS.WriteStream
  readonly #startedAt = performance.now()
  readonly #rewrites: boolean
  #line = ''
  #ticking: NodeJS.Timeout | undefined

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream
    this.#rewrites = stream.isTTY && process.env.TERM !== 'dumb'
  }

  show(line: string): void {
    this.#line = line
    if (!this.#rewrites) return void this.#stream.write(`${this.#elapsed()}  ${line}\n`)
    this.#ticking ??= setInterval(() => this.#rewrite(), 1_000).unref()
    this.#rewrite()
  }

  /** Removes the line from a terminal. */
  clear(): void {
    clearInterval(this.#ticking)
    this.#ticking = undefined
    if (this.#rewrites) this.#stream.write('\r\x1b[K')
  }

  #rewrite(): void {
    const elapsed = this.#elapsed()
    const line = this.#line.slice(0, Math.max(this.#stream.columns - elapsed.length - 3, 0))
    this.#stream.write(`\r\x1b[K${styleText('cyan', elapsed)}  ${line}`)
  }

  #elapsed(): string {
    const seconds = Math.floor((performance.now() - this.#startedAt) / 1_000)
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  }
}
