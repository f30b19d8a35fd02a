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

  /** @param lastId the last row of the page. */
  seal(lastId: string): string {
    return Buffer.concat([Buffer.from(lastId), this.#sign(lastId)]).toString('base64url')
  }

  /**
   * @returns the id that the cursor was made of.
   * @throws Problem `invalid-cursor`.
   */
  open(cursor: string): string {
    const bytes = Buffer.from(cursor, 'base64url')
    const id = bytes.subarray(0, -signatureBytes).toString('latin1')
    const signature = bytes.subarray(-signatureBytes)
    if (!isId(id) || signature.length !== signatureBytes || !timingSafeEqual(signature, this.#sign(id))) {
      throw new Problem('invalid-cursor', 'Take the cursor from `nextCursor` of the page before, unchanged.')
    }
    return id
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

  #sign(id: string): Buffer {
    return createHmac('sha256', this.#secret).update(`cursor:${id}`).digest().subarray(0, signatureBytes)
  }
}
