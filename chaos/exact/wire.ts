import { on, once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Fault } from './fault.ts'

/** A server that listens on a port of its own, and passes on what it gets message by message. */
export interface Wire {
  /** The server's URL, through the wire. */
  readonly url: string
  /** Ends the clients' side of every connection. */
  cutClients(): void
  /** Ends every connection, and takes no more. */
  close(): void
}

/** One connection through a wire. */
export abstract class WireConnection {
  protected readonly client: Socket
  protected readonly server: Socket
  #holding = false

  constructor(client: Socket, server: Socket) {
    this.client = client
    this.server = server
    client.once('close', () => this.#holding || server.end())
    server.once('close', () => client.destroySoon())
  }

  /** Passes everything on until the client has gone. */
  abstract serve(): Promise<void>

  /** Holds a message up. If the client goes meanwhile, the server learns of that after it got the message, as in a slow network. */
  protected async hold(fault: Fault): Promise<void> {
    this.#holding = true
    await fault.wait()
    this.#holding = false
  }

  protected send(messages: readonly Buffer[]): void {
    this.server.write(Buffer.concat(messages))
    if (this.client.destroyed) this.server.end()
  }

  protected hangUp(): void {
    this.client.destroy()
    this.server.destroy()
  }
}

/** Stands between clients and the server of a URL. */
export async function startWire(
  serverUrl: string,
  join: (client: Socket, server: Socket) => WireConnection,
): Promise<Wire> {
  const { hostname, port } = new URL(serverUrl)
  const clients = new Set<Socket>()
  const servers = new Set<Socket>()
  const follow = (socket: Socket, all: Set<Socket>) => {
    all.add(socket)
    socket.setNoDelay().on('error', () => {})
    socket.once('close', () => all.delete(socket))
  }
  const cut = (sockets: Set<Socket>) => {
    for (const socket of sockets) socket.destroy()
  }
  const listener = createServer((client) => {
    const server = connect(Number(port), hostname)
    follow(client, clients)
    follow(server, servers)
    join(client, server)
      .serve()
      .catch(() => client.destroy())
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const url = new URL(serverUrl)
  url.hostname = '127.0.0.1'
  url.port = String((listener.address() as AddressInfo).port)
  return {
    url: url.href,
    cutClients: () => cut(clients),
    close: () => {
      cut(clients)
      cut(servers)
      listener.close()
    },
  }
}

/** @returns the length of the first message, or undefined while that cannot be told. */
type LengthOf = (bytes: Buffer) => number | undefined

/** Cuts what comes in into messages, each handed on as soon as it is whole. */
export function splitter(lengthOf: LengthOf, onMessage: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let length = lengthOf(rest); length !== undefined && length <= rest.length; length = lengthOf(rest)) {
      onMessage(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
  }
}

/** The messages of a socket, whose rest is read on while one of them is being handled. */
export async function* messages(socket: Socket, lengthOf: LengthOf): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const [chunk] of on(socket, 'data', { close: ['end', 'close'] }) as AsyncIterable<[Buffer]>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let length = lengthOf(rest); length !== undefined && length <= rest.length; length = lengthOf(rest)) {
      yield rest.subarray(0, length)
      rest = rest.subarray(length)
    }
  }
}
