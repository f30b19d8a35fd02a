import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A network between a client and a server that can be made to swallow everything. */
export interface TcpProxy {
  /** The database's URL, through the proxy. */
  readonly url: string
  /** From now on no byte passes, and no connection is closed: what a partition looks like. */
  freeze(): void
  /** New connections work again; those that were frozen never do. */
  thaw(): void
  close(): void
}

/** Stands between clients and the server of a `postgres://` URL. */
export async function startTcpProxy(databaseUrl: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  const frozen = new Set<Socket>()
  let freezes = false
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect(Number(port), hostname)
    if (freezes) frozen.add(client).add(upstream)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('data', (chunk) => frozen.has(from) || to.write(chunk))
      from.on('end', () => frozen.has(from) || to.end())
      from.on('error', () => {})
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(databaseUrl)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    freeze: () => {
      freezes = true
      for (const socket of sockets) frozen.add(socket)
    },
    thaw: () => {
      freezes = false
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
