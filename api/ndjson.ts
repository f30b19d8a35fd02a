import { readJson } from './parse-json.ts'
import { Problem } from './problem.ts'

/** Stands for a line that is longer than allowed; its bytes are gone. */
export const tooLong = Symbol('too long')
export type Line = Buffer | typeof tooLong

const newline = 0x0a
/** What JSON calls whitespace. */
const blanks: ReadonlySet<number> = new Set([0x20, 0x09, 0x0d, newline])
const smallestPartial = 4_096

/**
 * Splits bytes into lines, whatever chunks they come in. Keeps no more than one unfinished line, and of one that is too long
 * nothing.
 */
export class LineSplitter {
  readonly #maxBytes: number
  /** The unfinished line: the first {@link #length} bytes of this. */
  #partial: Buffer = Buffer.alloc(0)
  #length = 0
  /** The unfinished line was too long, which was said already. */
  #skipping = false

  /** @param maxBytes length of a line at most, its newline not counted. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** @returns the lines that this chunk finishes, without their newlines. They share the chunk's memory. */
  *push(chunk: Buffer): Generator<Line> {
    let start = 0
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      const said = this.#skipping
      const line = this.#finish(chunk.subarray(start, end))
      if (!said) yield line
      start = end + 1
    }
    if (start < chunk.length && !this.#keep(chunk.subarray(start))) yield tooLong
  }

  /** @returns the last line, when no newline follows it. */
  *end(): Generator<Line> {
    if (this.#length > 0) yield this.#finish(Buffer.alloc(0))
  }

  #finish(rest: Buffer): Line {
    let line: Line = rest
    if (this.#length + rest.length > this.#maxBytes) line = tooLong
    else if (this.#length > 0) {
      this.#append(rest)
      line = this.#partial.subarray(0, this.#length)
    }
    this.#forget()
    this.#skipping = false
    return line
  }

  /** @returns false the moment the line gets too long. */
  #keep(piece: Buffer): boolean {
    if (this.#skipping) return true
    if (this.#length + piece.length <= this.#maxBytes) {
      this.#append(piece)
      return true
    }
    this.#forget()
    this.#skipping = true
    return false
  }

  /** Copies, into room that doubles: a line that trickles in byte by byte must not keep a chunk for each of them. */
  #append(piece: Buffer): void {
    const length = this.#length + piece.length
    if (length > this.#partial.length) {
      const roomier = Buffer.allocUnsafe(Math.max(length, 2 * this.#partial.length, smallestPartial))
      this.#partial.copy(roomier, 0, 0, this.#length)
      this.#partial = roomier
    }
    piece.copy(this.#partial, this.#length)
    this.#length = length
  }

  #forget(): void {
    this.#partial = Buffer.alloc(0)
    this.#length = 0
  }
}

/** @returns whether the line holds whitespace only. */
export function isBlank(line: Buffer): boolean {
  return line.every((byte) => blanks.has(byte))
}

/**
 * Reads the JSON value of a line.
 *
 * @throws Problem `too-large`, `invalid-json` or `validation-failed`.
 */
export function readLine(line: Line): unknown {
  if (line === tooLong)
    throw new Problem('too-large', 'The line is longer than this call accepts. Make the job smaller.')
  return readJson(line)
}
