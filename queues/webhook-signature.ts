import { createHmac, randomBytes } from 'node:crypto'

const prefix = 'whsec_'
/** Bytes of a secret; Standard Webhooks asks for 24 to 64. */
const secretBytes = 32

/** @returns a fresh secret, as receivers are told it. */
export function newWebhookSecret(): string {
  return prefix + randomBytes(secretBytes).toString('base64')
}

/** One attempt at a delivery, as it is signed. */
export interface SignedMessage {
  /** Id of the event: the same in every attempt. */
  readonly id: string
  /** Seconds since 1970 of this attempt. */
  readonly timestamp: number
  readonly body: string
}

/**
 * Signs a delivery by the rules of Standard Webhooks.
 *
 * @param secrets those that are valid: during a rotation the new and the old one.
 * @returns the three headers.
 */
export function signatureHeaders(secrets: readonly string[], message: SignedMessage): Record<string, string> {
  return {
    'webhook-id': message.id,
    'webhook-timestamp': String(message.timestamp),
    'webhook-signature': secrets.map((secret) => `v1,${sign(secret, message)}`).join(' '),
  }
}

function sign(secret: string, { id, timestamp, body }: SignedMessage): string {
  const key = Buffer.from(secret.startsWith(prefix) ? secret.slice(prefix.length) : secret, 'base64')
  return createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
}
