import { createHmac, timingSafeEqual } from 'node:crypto'
import { isId } from '@jobyard/db/ids'
import { Problem } from './problem.ts'

/** Bytes of the signature that are kept: enough against guessing, short enough for a URL. */
const signatureBytes = 12

/** Makes and reads the opaque positions that listings continue from. */
export class Cursors {
  readonly #secret: string

  constructor(secret: string) {
    this.#secret = secret
  }

  /** @param last what names the last row of the page, in ASCII. */
  seal(last: string): string {
    return Buffer.concat([Buffer.from(last), this.#sign(last)]).toString('base64url')
  }

  /**
   * @param fits whether what the cursor was made of names a row of this listing: the cursor may be another's.
   * @returns what the cursor was made of.
   * @throws Problem `invalid-cursor`.
   */
  open(cursor: string, fits: (last: string) => boolean = isId): string {
    const bytes = Buffer.from(cursor, 'base64url')
    const last = bytes.subarray(0, -signatureBytes).toString('latin1')
    const signature = bytes.subarray(-signatureBytes)
    if (!fits(last) || signature.length !== signatureBytes || !timingSafeEqual(signature, this.#sign(last))) {
      throw new Problem('invalid-cursor', 'Take the cursor from `nextCursor` of the page before, unchanged.')
    }
    return last
  }

  /**
   * Makes the page of a listing.
   *
   * @param rows one more than `limit`, if there are so many.
   */
  page<Row extends { readonly id: string }>(
    rows: readonly Row[],
    limit: number,
  ): { items: Row[]; nextCursor?: string } {
    const items = rows.slice(0, limit)
    const last = items.at(-1)
    return { items, ...(rows.length > limit && last && { nextCursor: this.seal(last.id) }) }
  }

  #sign(last: string): Buffer {
    return createHmac('sha256', this.#secret).update(`cursor:${last}`).digest().subarray(0, signatureBytes)
  }
}
