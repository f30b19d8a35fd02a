import type { Server } from 'node:http'
import { networkInterfaces } from 'node:os'

const loopback = ['127.0.0.1', '::1', 'localhost']
const wildcards = new Set(['0.0.0.0', '::'])

/**
 * Where this API is reached, as far as it can know: the address at which it listens, and the one by which its caller came.
 *
 * @param host the `Host` header of a request.
 * @returns each as `host:port`, IPv6 without brackets.
 */
export function ownAddresses(server: Server, host: string): string[] {
  return [...listeningAddresses(server), ...callersAddress(host)]
}

function listeningAddresses(server: Server): string[] {
  const bound = server.address()
  if (!bound || typeof bound === 'string') return []
  const { address, port } = bound
  const isLoopback = loopback.includes(address)
  const hosts = wildcards.has(address) ? [...loopback, ...machineAddresses()] : isLoopback ? loopback : [address]
  return hosts.map((each) => `${each}:${port}`)
}

function machineAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) => addresses.map(({ address }) => address))
}

/** Behind a proxy the header names no port, whatever is spoken in front of it. */
function callersAddress(host: string): string[] {
  const url = URL.parse(`https://${host}/`)
  if (!url) return []
  const name = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  return [`${name}:${url.port || 443}`]
}
