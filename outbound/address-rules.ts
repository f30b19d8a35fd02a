import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** One entry of the allow list. Without a port it holds for every port that the rules allow anyway. */
type AllowRule =
  | { readonly host: string; readonly port: number | undefined }
  | { readonly network: readonly [Address, number]; readonly port: number | undefined }

/** Private hosts and networks that may be reached all the same; made by {@link parseAllowList}. */
export type AllowList = readonly AllowRule[]

/** Where a request goes, taken from its URL: a name or a literal address without brackets, and the port. */
export interface Target {
  readonly host: string
  readonly port: number
}

/** Ports of other protocols that a request could be made to speak by accident: https://fetch.spec.whatwg.org/#port-blocking */
const blockedPorts = new Set([
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
  111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
  540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
  6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
])

const globalUnicastV6 = ipaddr.IPv6.parseCIDR('2000::/3')
const ipv4Compatible = ipaddr.IPv6.parseCIDR('::/96')

/**
 * Reads an allow list such as `127.0.0.1:4000,10.1.0.0/16,localhost:3999,[::1]:80`.
 *
 * @param text hosts and addresses, each with or without a port, and networks in CIDR notation, separated by commas;
 *   the empty text is the empty list.
 * @throws TypeError that names the first malformed entry.
 */
export function parseAllowList(text: string): AllowList {
  if (text.trim() === '') return []
  return text.split(',').map((entry) => parseAllowRule(entry.trim()))
}

function parseAllowRule(entry: string): AllowRule {
  if (entry.includes('/')) return { network: parseNetwork(entry), port: undefined }
  const bare = parseAddress(entry)
  if (bare) return { network: singleAddress(bare), port: undefined }
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(entry) ?? []
  const port = digits === undefined ? undefined : Number(digits)
  if (port !== undefined && (port < 1 || port > 65_535)) throw malformed(entry)
  const address = parseAddress(bracketed ?? plain ?? '')
  if (address) return { network: singleAddress(address), port }
  if (plain === undefined) throw malformed(entry)
  return { host: parseHostName(plain, entry), port }
}

function parseNetwork(entry: string): [Address, number] {
  const [address, bits = ''] = entry.split('/')
  if (!parseAddress(address ?? '') || !/^\d{1,3}$/.test(bits) || !ipaddr.isValidCIDR(entry)) throw malformed(entry)
  const [base, prefix] = ipaddr.parseCIDR(entry)
  const family = base.kind() === 'ipv4' ? ipaddr.IPv4 : ipaddr.IPv6
  const start = family.networkAddressFromCIDR(entry)
  if (base.toString() === start.toString()) return [base, prefix]
  throw malformed(entry, `write ${start.toString()}/${prefix}`)
}

function parseHostName(plain: string, entry: string): string {
  const host = /^[^\s/?#\\@%]+$/.test(plain) ? URL.parse(`http://${plain}/`)?.hostname : undefined
  if (!host || parseAddress(host) || !/^[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$/.test(host)) throw malformed(entry)
  return withoutFinalDot(host)
}

function malformed(entry: string, hint = 'expected host, host:port, [IPv6]:port or a network such as 10.1.0.0/16') {
  return new TypeError(`"${entry}" is no entry for an allow list: ${hint}`)
}

/**
 * Judges a URL that a stranger gave, by its spelling alone: no name is resolved. A name that passes must be judged
 * again by {@link whyAddressIsForbidden} when it has been resolved, at the moment of connecting.
 *
 * https:// may go to public addresses and to the allow list, http:// to the allow list only.
 *
 * @returns why the URL is refused, as the end of a sentence, or undefined when it may be tried.
 */
export function whyUrlIsForbidden(text: string | URL, allow: AllowList): string | undefined {
  const url = URL.parse(String(text))
  if (!url) return 'it is not an absolute URL'
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return `${url.protocol}// is not http:// or https://`
  if (url.username !== '' || url.password !== '') return 'it carries a user name or a password'
  const target = targetOf(url)
  const hostProblem = whyHostIsForbidden(target, allow)
  if (hostProblem) return hostProblem
  const allowed = isAllowedTarget(target, allow)
  if (url.protocol === 'http:' && !allowed) return 'http:// is not encrypted, use https://'
  if (blockedPorts.has(target.port) && !allow.some((rule) => rule.port === target.port && covers(rule, target))) {
    return `port ${target.port} belongs to another protocol`
  }
  return undefined
}

/** Name or literal address, without brackets and without the final dot of a fully qualified name, and port of a URL. */
export function targetOf(url: URL): Target {
  const host = withoutFinalDot(url.hostname.replace(/^\[|\]$/g, ''))
  return { host, port: Number(url.port || (url.protocol === 'http:' ? 80 : 443)) }
}

function whyHostIsForbidden(target: Target, allow: AllowList): string | undefined {
  if (parseAddress(target.host)) return whyAddressIsForbidden(target.host, target, allow)
  if (isAllowedTarget(target, allow)) return undefined
  return /(^|\.)localhost$/.test(target.host) ? `${target.host} is this machine` : undefined
}

/**
 * Judges one address that a connection is about to be made to. Only public unicast addresses pass, and what the allow
 * list opens. Addresses that stand for an IPv4 address (IPv4-mapped, NAT64, 6to4, Teredo) are refused; where the allow
 * list opens such a network, the embedded IPv4 address must pass on its own.
 *
 * @param address the address in any usual notation.
 * @param target where the URL points: an allowed name may resolve to any address.
 * @returns why the address is refused, as the end of a sentence, or undefined when it may be reached.
 */
export function whyAddressIsForbidden(address: string, target: Target, allow: AllowList): string | undefined {
  const parsed = parseAddress(address)
  if (!parsed) return `"${address}" is not an address`
  if (isAllowedName(target, allow)) return undefined
  const allowed = allow.some((rule) => coversAddress(rule, parsed, target.port))
  const embedded = embeddedIpv4(parsed)
  if (embedded && allowed) return whyAddressIsForbidden(embedded.toString(), target, allow)
  if (allowed || (!embedded && isPublicUnicast(parsed))) return undefined
  return `${address} is not a public address (${describe(embedded ?? parsed)}${embedded ? ', embedded in IPv6' : ''})`
}

function isPublicUnicast(address: Address): boolean {
  return address.range() === 'unicast' && (address instanceof ipaddr.IPv4 || address.match(globalUnicastV6))
}

function describe(address: Address): string {
  const range = address.range()
  return range === 'unicast' ? address.toString() : range
}

/** The IPv4 address that an IPv6 address stands for, which is the one that packets would reach in the end. */
function embeddedIpv4(address: Address): ipaddr.IPv4 | undefined {
  if (!(address instanceof ipaddr.IPv6)) return undefined
  const bytes = address.toByteArray()
  const range = address.range()
  if (range === '6to4') return new ipaddr.IPv4(bytes.slice(2, 6))
  if (range === 'teredo') return new ipaddr.IPv4(bytes.slice(12).map((byte) => byte ^ 0xff))
  const endsInIpv4 = range === 'ipv4Mapped' || range === 'rfc6145' || range === 'rfc6052'
  const isCompatible = range === 'unicast' && address.match(ipv4Compatible)
  return endsInIpv4 || isCompatible ? new ipaddr.IPv4(bytes.slice(12)) : undefined
}

/** @returns whether the allow list opens a target. */
export function isAllowedTarget(target: Target, allow: AllowList): boolean {
  return allow.some((rule) => covers(rule, target))
}

/** @returns whether the allow list opens a target by its name, whatever addresses it stands for. */
export function isAllowedName(target: Target, allow: AllowList): boolean {
  return allow.some((rule) => 'host' in rule && covers(rule, target))
}

function covers(rule: AllowRule, target: Target): boolean {
  if ('host' in rule) return rule.host === target.host && isPortOf(rule, target.port)
  const address = parseAddress(target.host)
  return address !== undefined && coversAddress(rule, address, target.port)
}

function coversAddress(rule: AllowRule, address: Address, port: number): boolean {
  if (!('network' in rule) || !isPortOf(rule, port)) return false
  const [base, prefix] = rule.network
  return base.kind() === address.kind() && address.match(base, prefix)
}

function isPortOf(rule: AllowRule, port: number): boolean {
  return rule.port === undefined || rule.port === port
}

/** Accepts the canonical notations only: `127.1` and `0x7f000001` are for the URL parser to unfold. */
function parseAddress(text: string): Address | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text)
  return text.includes(':') && ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined
}

function singleAddress(address: Address): [Address, number] {
  return [address, address.kind() === 'ipv4' ? 32 : 128]
}

function withoutFinalDot(host: string): string {
  return host.endsWith('.') ? host.slice(0, -1) : host
}
