import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

const version = 'v1.'
const nonceBytes = 12
const tagBytes = 16

/** Encrypts what the record keeps of others' secrets: AES-256-GCM under a key made of `JOBYARD_SECRET` (HKDF-SHA256). */
export class SecretBox {
  readonly #key: Buffer

  /** @param secret of the installation. */
  constructor(secret: string) {
    this.#key = Buffer.from(hkdfSync('sha256', secret, '', 'endpoint secrets', 32))
  }

  /**
   * Encrypts a text.
   *
   * @param owner id of the row that it belongs to: in another row it cannot be opened.
   * @returns `v1.` and base64url of nonce, ciphertext and tag.
   */
  seal(text: string, owner: string): string {
    const nonce = randomBytes(nonceBytes)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(owner))
    const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
    return version + sealed.toString('base64url')
  }

  /**
   * Decrypts what {@link seal} made.
   *
   * @throws Error when it was sealed under another `JOBYARD_SECRET` or for another row, or is damaged.
   */
  open(sealed: string, owner: string): string {
    if (!sealed.startsWith(version)) throw unreadable()
    const bytes = Buffer.from(sealed.slice(version.length), 'base64url')
    try {
      const nonce = bytes.subarray(0, nonceBytes)
      const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce, { authTagLength: tagBytes })
        .setAAD(Buffer.from(owner))
        .setAuthTag(bytes.subarray(-tagBytes))
      const text = Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()])
      return text.toString('utf8')
    } catch (error) {
      throw unreadable(error)
    }
  }
}

function unreadable(cause?: unknown): Error {
  return new Error('A secret cannot be decrypted: is JOBYARD_SECRET the one that it was stored with?', { cause })
}
