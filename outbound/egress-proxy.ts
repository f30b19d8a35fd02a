import type { LookupAddress } from 'node:dns'
import { request as requestInClear } from 'node:http'
import { request as requestByTls } from 'node:https'
import type { Socket } from 'node:net'

/**
 * Time for the connection to the proxy, TLS included, in milliseconds: two lost packets are sent again within 3 s (RFC 6298), and it is
 * shorter than any request is given, so that a proxy that is not reached is not taken for a slow receiver.
 */
const connectWithinMs = 5_000

/** The proxy was not reached, broke off, or did not let us in. Nothing was sent to the receiver, which is not to blame. */
export class EgressProxyError extends Error {
  override readonly name = 'EgressProxyError'
}

/** Where a tunnel is to end. */
export interface TunnelEnd {
  /** Of the same receiver: what a name stands for. */
  readonly addresses: readonly LookupAddress[]
  readonly port: number
  readonly signal: AbortSignal
}

/**
 * Asks a proxy for a connection to the first of these addresses that it reaches (CONNECT, RFC 9110, section 9.3.6). It is given addresses
 * and not the name that stands for them, so that it cannot resolve it to another one than was judged. IPv4 goes first: a proxy without
 * IPv6 may take all the time there is to find that out.
 *
 * A proxy that was reached and is silent until the signal fires is none that is away: it may be waiting for a receiver that is dead.
 *
 * @returns a socket whose other end is the receiver's.
 * @throws EgressProxyError when the proxy is not reached or wants other credentials; Error when it refuses the last address.
 */
export async function openTunnel(proxy: URL, { addresses, port, signal }: TunnelEnd): Promise<Socket> {
  let problem: unknown
  for (const { address, family } of addresses.toSorted((a, b) => a.family - b.family)) {
    try {
      return await connect(proxy, family === 6 ? `[${address}]:${port}` : `${address}:${port}`, signal)
    } catch (error) {
      if (error instanceof EgressProxyError) throw error
      problem = error
    }
  }
  throw problem
}

function connect(proxy: URL, authority: string, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const headers = { host: authority, ...authorization(proxy) }
  const [send, reached] =
    proxy.protocol === 'https:' ? ([requestByTls, 'secureConnect'] as const) : ([requestInClear, 'connect'] as const)
  const request = send(new URL(proxy.origin), { method: 'CONNECT', path: authority, headers, agent: false, signal })
  const giveUp = () => request.destroy(new Error(`No connection within ${connectWithinMs} ms`))
  const timer = setTimeout(giveUp, connectWithinMs)
  request
    .on('socket', (socket) => socket.once(reached, () => clearTimeout(timer)))
    .on('close', () => clearTimeout(timer))
    .on('error', (error) => reject(signal.aborted ? error : noAnswer(error)))
    .on('connect', ({ statusCode = 0 }, socket: Socket, early) => {
      if (statusCode < 200 || statusCode > 299) {
        socket.destroy()
        return reject(refusal(statusCode))
      }
      if (early.length > 0) socket.unshift(early)
      resolve(socket)
    })
    .end()
  return promise
}

function authorization({ username, password }: URL) {
  if (username === '') return {}
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`)
  return { 'proxy-authorization': `Basic ${credentials.toString('base64')}` }
}

function noAnswer(cause: Error): EgressProxyError {
  return new EgressProxyError('The egress proxy gives no answer', { cause })
}

function refusal(statusCode: number): Error {
  if (statusCode === 407) return new EgressProxyError('The egress proxy wants other credentials')
  return new Error(`the egress proxy answered ${statusCode}`)
}
