import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A network between a client and a server that can be made to swallow everything. */
export interface TcpProxy {
  /** The database's URL, through the proxy. */
  readonly url: string
  /** From now on no byte passes, and no connection is closed: what a partition looks like. */
  freeze(): void
  /** The same for connections that are open now: their other end has vanished. New ones are fine. */
  strand(): void
  close(): void
}

/** Stands between clients and the server of a URL. */
export async function startTcpProxy(serverUrl: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(serverUrl)
  const sockets = new Set<Socket>()
  const stranded = new Set<Socket>()
  let frozen = false
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect(Number(port), hostname)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      const isSilent = () => frozen || stranded.has(from)
      from.on('data', (chunk) => isSilent() || to.write(chunk))
      from.on('end', () => isSilent() || to.end())
      from.on('error', () => {})
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(serverUrl)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    freeze: () => {
      frozen = true
    },
    strand: () => {
      for (const socket of sockets) stranded.add(socket)
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
