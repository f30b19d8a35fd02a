import { type AllowList, isAllowedTarget, targetOf, whyUrlIsForbidden } from './address-rules.ts'

/** Ports at which receivers of webhooks are reached without anybody's leave: HTTPS, and its usual alternative. */
const webhookPorts = new Set([443, 8443])

/** Addresses and names, as the URL parser writes them, that lead to the machine that asks. */
const thisMachine = /^(127(\.\d+){3}|0\.0\.0\.0|::1?|::ffff:(7f[\da-f]{2}:[\da-f]{1,4}|0:0)|(.*\.)?localhost)$/

/** Headers that belong to one connection (RFC 9110, section 7.6.1), or that a delivery sets itself. */
const reservedHeaders = new Set(
  `connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade
  http2-settings host content-length content-type content-encoding expect accept-encoding`.split(/\s+/),
)

/**
 * Judges the URL of a webhook by its spelling, more strictly than {@link whyUrlIsForbidden}: such a URL is called again and again, so
 * that only the ports of HTTPS are open, besides those that the allow list names.
 *
 * @param own where the platform itself is reached, as `host:port`; `localhost` stands for every address by which a machine reaches itself.
 * @returns why the URL is refused, as the end of a sentence, or undefined.
 */
export function whyWebhookUrlIsForbidden(text: string, allow: AllowList, own: readonly string[]): string | undefined {
  if (/[\s\p{Cc}]/u.test(text)) return 'it holds spaces or control characters'
  const reason = whyUrlIsForbidden(text, allow)
  if (reason) return reason
  const target = targetOf(new URL(text))
  const names = thisMachine.test(target.host) ? [target.host, 'localhost'] : [target.host]
  if (names.some((name) => own.includes(`${name}:${target.port}`))) return 'it is the address of this platform'
  if (webhookPorts.has(target.port) || isAllowedTarget(target, allow)) return undefined
  return `port ${target.port} is none of ${[...webhookPorts].join(', ')}`
}

/** @returns whether a webhook may not have a header of this name: the connection or the delivery sets it. */
export function isReservedHeader(name: string): boolean {
  const lower = name.toLowerCase()
  return reservedHeaders.has(lower) || lower.startsWith('webhook-') || lower.startsWith('proxy-')
}
