import type { Readable } from 'node:stream'
import type { BatchItems, ItemAnswer } from './batch-items.ts'
import type { Pace } from './limits/rate-limits.ts'
import { isBlank, LineSplitter, readLine, tooLong, type Line } from './ndjson.ts'
import { OrderedAnswers } from './ordered-answers.ts'
import { invalid } from './plugins/errors.ts'
import { Problem } from './problem.ts'

export interface StreamLimits {
  /** Jobs in one stream. */
  readonly maxItems: number
  /** Length of a line. */
  readonly maxLineBytes: number
  /** Length of a stream. */
  readonly maxBytes: number
  /** Time in which a client must send or read something, in milliseconds. */
  readonly idleMs: number
  /** Items of all streams together that may be at the intake; well below what that lets wait. */
  readonly maxUnderWay: number
  /** Lines and answers that all streams together may hold, in bytes. */
  readonly maxHeldBytes: number
  /** Time that streams wait for a database which is away, in milliseconds. */
  readonly heldUpMs: number
}

export interface BatchStreamOptions {
  readonly tenant: string
  readonly items: Pick<BatchItems, 'submit' | 'refuse'>
  readonly limits: StreamLimits
  /** Part of the common limits that is this stream's now, 0 to 1. When it is 0, {@link BatchStream.goOn} must tell that it has grown. */
  readonly share: () => number
  /** Told when it begins to keep the intake busy, and when it waits for nothing but its client. */
  readonly onBusy: (busy: boolean) => void
  /** Slows the stream down: each line takes one; as fast as it can when absent. @param onMore told when it should try again. */
  readonly pace?: ((onMore: () => void) => Pace) | undefined
}

/** What to do about a stream that was cut short. */
const goOn = 'Send the lines from this index on in another stream.'

/**
 * A batch of which each line is an item, answered line by line, in order, while it is still being sent. What is under way is
 * bounded: nothing is read while the intake is behind, or while the client does not read its answers.
 */
export class BatchStream {
  readonly #options: BatchStreamOptions
  readonly #source: Readable
  readonly #lines: LineSplitter
  readonly #answers: OrderedAnswers
  #atIntake = 0
  #bytesAtIntake = 0
  readonly #pace: Pace | undefined
  /** The first line is paid before anything is read: a stream costs as much as a request. */
  #isPaid = false
  /** Ends a stream that has waited too long to pay its next line. */
  #patience: NodeJS.Timeout | undefined
  #busy = false
  #reading = true
  #gone = false
  /** Why no more was read, unless the stream was at its end. */
  #cutShort: Problem | undefined
  #wake = () => {}
  readonly #begun = Promise.withResolvers<Readable>()
  /** Resolves when nothing more will be read, and everything that was handed in is answered. */
  readonly ended: Promise<void>

  /** Starts to read. */
  constructor(source: Readable, options: BatchStreamOptions) {
    this.#options = options
    this.#source = source
    this.#pace = options.pace?.(() => this.#wake())
    this.#lines = new LineSplitter(options.limits.maxLineBytes)
    this.#answers = new OrderedAnswers(() => this.#onProgress())
    for (const event of ['readable', 'end', 'error']) source.on(event, () => this.#wake())
    source.on('close', () => {
      if (!source.readableEnded) this.#leave()
    })
    this.#answers.output.on('close', () => this.#leave())
    this.#begun.promise.catch(() => {})
    this.ended = this.#run()
      .catch((error: Error) => this.#fail(error))
      .finally(() => {
        clearTimeout(this.#patience)
        this.#setBusy(false)
      })
  }

  /**
   * Waits for the first answer.
   *
   * @returns all of them, a line each.
   * @throws Problem when the stream ended without any.
   */
  begun(): Promise<Readable> {
    return this.#begun.promise
  }

  /** Reads no more, answers what was handed in, and ends with a problem that says `why`. */
  interrupt(why: string): void {
    this.#stop(new Problem('unavailable', `${why} ${goOn}`))
  }

  /** As {@link interrupt}, with another problem. */
  refuse(problem: Problem): void {
    this.#stop(problem)
  }

  /** Looks again whether it may hand something in. */
  goOn(): void {
    this.#wake()
  }

  async #run(): Promise<void> {
    const { maxItems } = this.#options.limits
    while (this.#reading && !this.#isPaidFor()) await this.#progress(false)
    for await (const lines of this.#read()) {
      for (const line of lines) {
        if (line !== tooLong && isBlank(line)) continue
        if (this.#answers.promised >= maxItems)
          this.#stop(new Problem('too-large', `A stream has ${maxItems} jobs at most. ${goOn}`))
        while (this.#reading && (this.#isFull() || !this.#isPaidFor())) await this.#progress(!this.#answers.wanted)
        if (!this.#reading) break
        this.#isPaid = false
        this.#handIn(line)
      }
    }
    this.#reading = false
    while (this.#atIntake > 0 || (this.#answers.unwritten > 0 && !this.#gone))
      await this.#progress(!this.#answers.wanted)
    this.#end()
  }

  /** The lines of each piece that comes in, until the stream ends or was stopped. */
  async *#read(): AsyncGenerator<Iterable<Line>> {
    const { maxBytes } = this.#options.limits
    let left = maxBytes
    while (this.#reading) {
      const piece = this.#source.read() as Buffer | null
      if (piece) {
        yield this.#lines.push(piece.subarray(0, left))
        left -= piece.length
        if (left < 0) this.#stop(new Problem('too-large', `A stream has ${maxBytes} bytes at most. ${goOn}`))
      } else if (this.#source.readableEnded) {
        yield this.#lines.end()
        return
      } else await this.#progress(this.#atIntake === 0)
    }
  }

  #isFull(): boolean {
    const { limits, share } = this.#options
    const part = share()
    return (
      this.#answers.unwritten >= limits.maxUnderWay ||
      this.#atIntake >= limits.maxUnderWay * part ||
      this.#bytesAtIntake + this.#answers.length >= limits.maxHeldBytes * part
    )
  }

  /** Whether the next line is paid for, now at the latest. Who waits for that keeps nobody else from the intake. */
  #isPaidFor(): boolean {
    this.#isPaid ||= this.#pace?.take() ?? true
    if (this.#isPaid) {
      clearTimeout(this.#patience)
      this.#patience = undefined
    } else {
      this.#patience ??= setTimeout(() => this.#onUnpaid(), this.#options.limits.idleMs)
      if (this.#atIntake === 0) this.#setBusy(false)
    }
    return this.#isPaid
  }

  #handIn(line: Line): void {
    const index = this.#answers.promise()
    const bytes = line === tooLong ? 0 : line.length
    this.#bytesAtIntake += bytes
    this.#atIntake++
    this.#setBusy(true)
    void this.#answer(index, line).then((answer) => {
      this.#answers.give(index, answer)
      this.#bytesAtIntake -= bytes
      this.#atIntake--
    })
  }

  #answer(index: number, line: Line): Promise<ItemAnswer> {
    const { items, tenant } = this.#options
    try {
      return items.submit(tenant, index, readLine(line))
    } catch (error) {
      return Promise.resolve(items.refuse(index, error))
    }
  }

  #end(): void {
    const index = this.#answers.promised
    if (index === 0) this.#begun.reject(this.#cutShort ?? invalid([{ path: '', message: 'holds no job' }]))
    this.#answers.end(this.#cutShort && { index, problem: this.#cutShort })
    this.#begun.resolve(this.#answers.output)
  }

  #fail(error: Error): void {
    this.#begun.reject(error)
    this.#answers.output.destroy(error)
  }

  #setBusy(busy: boolean): void {
    if (busy !== this.#busy) this.#options.onBusy(busy)
    this.#busy = busy
  }

  /** Waits until something has changed. The client has its idle time for that when it is the client's turn. */
  async #progress(clientsTurn: boolean): Promise<void> {
    if (clientsTurn && this.#atIntake === 0) this.#setBusy(false)
    const timer = clientsTurn ? setTimeout(() => this.#onIdle(), this.#options.limits.idleMs) : undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    clearTimeout(timer)
  }

  #onProgress(): void {
    if (this.#answers.unwritten < this.#answers.promised) this.#begun.resolve(this.#answers.output)
    this.#wake()
  }

  #onIdle(): void {
    const { idleMs } = this.#options.limits
    if (!this.#answers.wanted) this.#answers.output.destroy()
    else this.#stop(new Problem('timeout', `Nothing came for ${idleMs} ms. ${goOn}`))
  }

  #onUnpaid(): void {
    const refusal = this.#pace?.refusal()
    if (!refusal || this.#gone) return
    const { kind, message, headers } = refusal
    this.#stop(this.#answers.promised === 0 ? refusal : new Problem(kind, `${message} ${goOn}`, { headers }))
  }

  #stop(problem: Problem): void {
    if (this.#reading) this.#cutShort = problem
    this.#reading = false
    this.#wake()
  }

  /** The client went away: nobody reads an answer any more. */
  #leave(): void {
    this.#gone = true
    this.#reading = false
    this.#wake()
  }
}
