import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { callbackify } from 'node:util'
import { buildConnector, Client, type Dispatcher } from 'undici'
import {
  type AllowList,
  isAllowedName,
  type Target,
  targetOf,
  whyAddressIsForbidden,
  whyUrlIsForbidden,
} from './address-rules.ts'
import { EgressProxyError, openTunnel } from './egress-proxy.ts'
import { askNameServers } from './name-servers.ts'

/** Bounds of every request, and whom it may reach besides public addresses. */
export interface GuardedFetchOptions {
  readonly allow: AllowList
  /** Time for a whole request, from the look-up of the name to the last byte of the body, in milliseconds. */
  readonly timeoutMs: number
  /** Bytes of a body that are read; what follows is not. */
  readonly maxBodyBytes: number
  /** Bytes of the answer's header block, and of its trailers; an answer with more is an error. */
  readonly maxHeaderBytes: number
  /** Through which public addresses are reached. What the allow list opens besides is reached directly. */
  readonly proxy?: URL | undefined
  /** Who is asked for the addresses of names, as `address:port`; those of `/etc/resolv.conf` when absent. */
  readonly nameServers?: readonly string[] | undefined
}

/** One request. Time and size may be bounded differently from the default. */
export interface GuardedRequest {
  readonly method?: Dispatcher.HttpMethod
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
  readonly maxBodyBytes?: number
}

/** An answer, whatever its status. */
export interface GuardedResponse {
  readonly status: number
  /** Names in lower case; the values of a repeated header are joined by a comma. */
  readonly headers: Record<string, string>
  /** The body as it came: nothing is decompressed. */
  readonly bytes: Buffer
  /** The body read as UTF-8; bytes that are not become U+FFFD. */
  readonly body: string
  /** Whether the body had more bytes than were asked for. */
  readonly truncated: boolean
}

export type GuardedFetch = (url: string | URL, request?: GuardedRequest) => Promise<GuardedResponse>

/** The URL, or an address that its name stands for, may not be reached. Nothing was sent. Such an address is told by the cause alone. */
export class ForbiddenAddressError extends Error {
  override readonly name = 'ForbiddenAddressError'
  /** Why, as the end of a sentence. */
  readonly reason: string

  constructor(reason: string, options?: ErrorOptions) {
    super(`The URL may not be requested: ${reason}`, options)
    this.reason = reason
  }
}

/** The answer was not complete in time. */
export class FetchTimeoutError extends Error {
  override readonly name = 'FetchTimeoutError'
}

/** No complete answer: name unknown, connection refused or lost, TLS refused, not HTTP, too many headers. */
export class FetchNetworkError extends Error {
  override readonly name = 'FetchNetworkError'
}

const timeUp = new Error('The time is up')
/** What connections are ended with. Made once: undici would make one for each, with its stack. */
const exchangeOver = new Error('The exchange is over')

/**
 * Makes the function through which every URL of a stranger is requested.
 *
 * Each request has a connection of its own, so that no pooled one escapes the check; every address is judged as the
 * socket connects, so that a name which changed its address since is caught. If one address of a name is forbidden,
 * the whole name is. Redirects are not followed, only HTTP/1.1 is spoken, and `accept-encoding` is always `identity`.
 *
 * The function it returns throws {@link ForbiddenAddressError}, {@link FetchTimeoutError}, {@link FetchNetworkError},
 * {@link EgressProxyError}, or the reason of the caller's signal.
 */
export function createGuardedFetch(options: GuardedFetchOptions): GuardedFetch {
  return async (url, request = {}) => {
    const reason = whyUrlIsForbidden(url, options.allow)
    if (reason) throw new ForbiddenAddressError(reason)
    const { signal: caller, timeoutMs = options.timeoutMs } = request
    caller?.throwIfAborted()
    const { signal, isTimeUp, release } = limitTime(timeoutMs, caller)
    try {
      return await requestOnce(new URL(url), request, signal, options)
    } catch (error) {
      caller?.throwIfAborted()
      if (isTimeUp()) throw new FetchTimeoutError(`No complete answer within ${timeoutMs} ms`, { cause: error })
      throw error instanceof ForbiddenAddressError || error instanceof EgressProxyError ? error : networkError(error)
    } finally {
      release()
    }
  }
}

/**
 * A signal that fires when the time is up or the caller's does. Not `AbortSignal.any`, which kept 10 KB for each
 * request as long as the caller's signal lived (Node 24.21).
 */
function limitTime(timeoutMs: number, caller: AbortSignal | undefined) {
  const limit = new AbortController()
  const giveUp = () => limit.abort(caller?.reason)
  const timer = setTimeout(() => limit.abort(timeUp), timeoutMs)
  caller?.addEventListener('abort', giveUp)
  return {
    signal: limit.signal,
    isTimeUp: () => limit.signal.reason === timeUp,
    release: () => {
      clearTimeout(timer)
      caller?.removeEventListener('abort', giveUp)
    },
  }
}

async function requestOnce(
  url: URL,
  request: GuardedRequest,
  signal: AbortSignal,
  options: GuardedFetchOptions,
): Promise<GuardedResponse> {
  const client = openClient(url, signal, options)
  try {
    const response = await client.request({
      path: url.pathname + url.search,
      method: request.method ?? 'GET',
      headers: { ...lowerCased(request.headers ?? {}), 'accept-encoding': 'identity' },
      body: request.body ?? null,
      reset: true,
      signal,
    })
    return responseOf(response, await readBody(response.body, request.maxBodyBytes ?? options.maxBodyBytes))
  } finally {
    void client.destroy(exchangeOver)
  }
}

/**
 * Time is bounded by the signal alone, which ends look-up, handshake and exchange alike: undici's own timers tick in
 * half seconds and start anew with each phase.
 */
function openClient(url: URL, signal: AbortSignal, options: GuardedFetchOptions): Client {
  const target = targetOf(url)
  const connectDirectly = buildConnector({
    lookup: guardedLookup({ target, signal, options }),
    signal,
    timeout: 0,
    allowH2: false,
    maxCachedSessions: 0,
  })
  const { proxy } = options
  const connect = proxy ? connectByProxy(proxy, connectDirectly, { target, signal, options }) : connectDirectly
  const maxHeaderSize = options.maxHeaderBytes
  return new Client(url.origin, { connect, maxHeaderSize, headersTimeout: 0, bodyTimeout: 0, pipelining: 1 })
}

interface Connecting {
  readonly target: Target
  readonly signal: AbortSignal
  readonly options: GuardedFetchOptions
}

/** Connects to public addresses through a proxy. One that is private was opened by the allow list, and is reached directly. */
function connectByProxy(
  proxy: URL,
  connectDirectly: buildConnector.connector,
  connecting: Connecting,
): buildConnector.connector {
  const { target, signal } = connecting
  const openSocket = async (hostname: string) => {
    const addresses = await resolveAllowed(hostname, connecting)
    const isPrivate = addresses.some(({ address }) => whyAddressIsForbidden(address, target, []))
    return isPrivate ? undefined : openTunnel(proxy, { addresses, port: target.port, signal })
  }
  return (request, callback) => {
    openSocket(request.hostname).then(
      (tunnel) => {
        if (!tunnel) connectDirectly(request, callback)
        else if (request.protocol === 'https:') connectDirectly({ ...request, httpSocket: tunnel }, callback)
        else callback(null, tunnel)
      },
      (error: Error) => callback(error, null),
    )
  }
}

/** A `lookup` for sockets that hands out an address only if all that the name has may be reached. */
function guardedLookup(connecting: Connecting): LookupFunction {
  const resolve = callbackify((hostname: string) => resolveAllowed(hostname, connecting))
  return (hostname, { all }, callback) =>
    resolve(hostname, (error, addresses) => {
      if (error) return callback(error, '')
      return all ? callback(null, addresses) : callback(null, addresses[0].address, addresses[0].family)
    })
}

async function resolveAllowed(hostname: string, connecting: Connecting): Promise<[LookupAddress, ...LookupAddress[]]> {
  const { target, options } = connecting
  const [first, ...others] = await resolve(hostname, connecting)
  if (!first) throw new Error(`${hostname} has no address`)
  for (const { address } of [first, ...others]) {
    const reason = whyAddressIsForbidden(address, target, options.allow)
    if (reason)
      throw new ForbiddenAddressError(`${target.host} stands for an address that is not public`, {
        cause: new Error(reason),
      })
  }
  return [first, ...others]
}

/** Only names that the allow list names are looked up as the system does it, with `/etc/hosts` and search domains: no stranger can choose them. */
async function resolve(hostname: string, { target, signal, options }: Connecting): Promise<LookupAddress[]> {
  const family = isIP(hostname)
  if (family !== 0) return [{ address: hostname, family }]
  if (isAllowedName(target, options.allow)) return lookup(hostname, { all: true })
  return askNameServers(hostname, { signal, nameServers: options.nameServers })
}

/** Stops reading, and with it the connection, one chunk after the limit. */
async function readBody(stream: AsyncIterable<Buffer>, maxBytes: number) {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stream) {
    chunks.push(chunk)
    size += chunk.length
    if (size > maxBytes) break
  }
  return { bytes: Buffer.concat(chunks).subarray(0, maxBytes), truncated: size > maxBytes }
}

/** The text is made when it is asked for: a picture of 20 MB never becomes one. */
function responseOf(
  { statusCode, headers }: Dispatcher.ResponseData,
  { bytes, truncated }: { bytes: Buffer; truncated: boolean },
): GuardedResponse {
  return {
    status: statusCode,
    headers: joined(headers),
    bytes,
    get body() {
      return new TextDecoder().decode(bytes, { stream: truncated })
    },
    truncated,
  }
}

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

function joined(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
  )
}

/**
 * Where several addresses were tried, Node reports an AggregateError without a message of its own. The last one had the most time, and the
 * first is often one of IPv6, which is not everywhere. The address that a name stands for is nothing for strangers.
 */
function networkError(error: unknown): FetchNetworkError {
  const last: unknown = error instanceof AggregateError ? error.errors.at(-1) : error
  const { message, address, syscall, code }: NodeJS.ErrnoException & { address?: string } =
    last instanceof Error ? last : new Error(String(last))
  if (address !== undefined) return new FetchNetworkError(`No answer: ${syscall} ${code}`, { cause: error })
  return new FetchNetworkError(`No answer: ${message}`, { cause: error })
}
