import type { LookupAddress } from 'node:dns'
import { Resolver } from 'node:dns/promises'

/**
 * Time for the first answer of a name server, in milliseconds, and how often each is asked. The second time has twice as long, so that
 * silence is known after 9 s, or 10 (c-ares 1.34 in Node 24.21): within the 15 s of a delivery, and as patient as glibc, which waits 5 s twice.
 */
const patience = { timeout: 3_000, tries: 2 }
/** How long the other family is waited for once one has answered, in milliseconds: RFC 8305, section 3, says 50, for somebody who watches. */
const otherFamilyMs = 1_000

/** What is said of a name without an address: there is no such name, or it has none of this family. */
const unknown = new Set(['ENOTFOUND', 'ENODATA'])
/** What a name server says that has a trouble of its own. Node takes it for an answer, glibc asks the next one. */
const ill = new Set(['ESERVFAIL', 'EREFUSED', 'ENOTIMP'])

/** Whom to ask, and until when. */
export interface Asking {
  readonly signal: AbortSignal
  /** As `address:port`; those of `/etc/resolv.conf` when absent. */
  readonly nameServers?: readonly string[] | undefined
}

/**
 * Asks name servers for the addresses of a name, IPv6 and IPv4 side by side. Unlike the system's look-up it occupies none of the four
 * threads that all share, so that a name whose server is silent holds up nobody else, and it ends with the signal. It reads no
 * `/etc/hosts` and tries no search domains.
 *
 * Each look-up has a resolver of its own, because cancelling one cancels all that it does, and because it reads `/etc/resolv.conf` only once.
 *
 * @returns at least one address. IPv6 comes first: who has none is told so at once, while Node gives all addresses but the last one a
 *   fraction of a second. If one family has no answer, what the other one has.
 * @throws Error that says what the name servers said.
 */
export async function askNameServers(hostname: string, { signal, nameServers }: Asking): Promise<LookupAddress[]> {
  const resolver = new Resolver(patience)
  if (nameServers) resolver.setServers(nameServers)
  const giveUp = () => resolver.cancel()
  let timer: NodeJS.Timeout | undefined
  const addressesOf = async (family: 4 | 6) => {
    const addresses = await (family === 6 ? resolver.resolve6(hostname) : resolver.resolve4(hostname))
    timer ??= setTimeout(giveUp, otherFamilyMs)
    return addresses.map((address) => ({ address, family }))
  }
  signal.addEventListener('abort', giveUp)
  try {
    const families = await Promise.allSettled([addressesOf(6), addressesOf(4)])
    const addresses = families.flatMap((family) => (family.status === 'fulfilled' ? family.value : []))
    if (addresses.length > 0) return addresses
    const errors = families.flatMap((family) => (family.status === 'rejected' ? [family.reason as Problem] : []))
    const [, ...others] = resolver.getServers()
    if (others.length > 0 && errors.some(({ code }) => ill.has(code)))
      return await askNameServers(hostname, { signal, nameServers: others })
    throw failure(hostname, errors)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', giveUp)
  }
}

type Problem = Error & { readonly code: string }

function failure(hostname: string, errors: readonly Problem[]): Error {
  const trouble = errors.find(({ code }) => !unknown.has(code))
  if (trouble)
    return new Error(`the name servers did not tell the address of ${hostname} (${trouble.code})`, { cause: trouble })
  return new Error(
    `the name servers know no address of ${hostname} (names in /etc/hosts count only where OUTBOUND_ALLOW lists them)`,
    { cause: errors[0] },
  )
}
