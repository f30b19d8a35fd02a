import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** What may become of the bytes between a process and a server. */
type Passage = 'open' | 'frozen' | 'mute'

/**
 * The network between processes and a server, which can be cut, frozen, made slow or half-open. Bytes are never lost within a
 * connection that lives on, as TCP never loses them.
 */
export class Link {
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  #target: { host: string; port: number }
  #passage: Passage = 'open'
  #delayMs = 0
  #refuses = false

  private constructor(server: Server, target: { host: string; port: number }) {
    this.#server = server
    this.#target = target
  }

  /** @param url of the server, e.g. `redis://127.0.0.1:6379`. */
  static async to(url: string): Promise<Link> {
    const server = createServer({ allowHalfOpen: true })
    const link = new Link(server, addressOf(url))
    server.on('connection', (client) => link.#connect(client))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return link
  }

  /** @returns the same URL, through this link. */
  url(original: string): string {
    const url = new URL(original)
    url.port = String((this.#server.address() as AddressInfo).port)
    return url.href
  }

  /** The server has come back at another address. */
  retarget(url: string): void {
    this.#target = addressOf(url)
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#pairs.size
  }

  /** Resets every connection, or so many of a hundred, chosen by `chosen`. */
  cut(chosen: () => boolean = () => true): void {
    for (const pair of this.#pairs) if (chosen()) pair.destroy()
  }

  /** Resets every connection and refuses new ones until {@link heal}. */
  sever(): void {
    this.#refuses = true
    this.cut()
  }

  /** No byte passes any more, and no connection is closed, until {@link heal}. */
  freeze(): void {
    this.#setPassage('frozen')
  }

  /** Requests pass, answers do not, until {@link heal}: what is asked for is done, and nobody is told. */
  mute(): void {
    this.#setPassage('mute')
  }

  /** Every piece of data takes so many milliseconds more, in each direction. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs
  }

  /**
   * Ends all that was done to it.
   *
   * @param drop also resets what was frozen or mute, as a firewall does that has forgotten these connections.
   */
  heal(drop = false): void {
    this.#refuses = false
    this.#delayMs = 0
    if (drop && this.#passage !== 'open') this.cut()
    this.#setPassage('open')
  }

  async close(): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #setPassage(passage: Passage): void {
    this.#passage = passage
    for (const pair of this.#pairs) pair.setPassage(passage)
  }

  #connect(client: Socket): void {
    if (this.#refuses) return void client.resetAndDestroy()
    const pair = new Pair(client, connect({ ...this.#target, allowHalfOpen: true }), () => this.#delayMs)
    pair.setPassage(this.#passage)
    this.#pairs.add(pair)
    pair.onClosed(() => this.#pairs.delete(pair))
  }
}

/** One connection: the client's side and the server's. */
class Pair {
  readonly #client: Socket
  readonly #server: Socket
  readonly #delayMs: () => number

  constructor(client: Socket, server: Socket, delayMs: () => number) {
    this.#client = client
    this.#server = server
    this.#delayMs = delayMs
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => this.destroy())
    }
    this.#pass(client, server)
    this.#pass(server, client)
  }

  setPassage(passage: Passage): void {
    if (passage === 'frozen') this.#client.pause()
    else this.#client.resume()
    if (passage === 'open') this.#server.resume()
    else this.#server.pause()
  }

  destroy(): void {
    for (const socket of [this.#client, this.#server]) if (!socket.destroyed) socket.resetAndDestroy()
  }

  onClosed(listener: () => void): void {
    this.#client.once('close', listener)
  }

  #pass(from: Socket, to: Socket): void {
    let last = Promise.resolve()
    const inOrder = (step: () => void) => {
      const delayMs = this.#delayMs()
      if (delayMs === 0) last = last.then(step)
      else {
        const due = new Promise((resolve) => setTimeout(resolve, delayMs))
        last = last.then(() => due).then(step)
      }
    }
    from.on('data', (chunk) => inOrder(() => void (to.destroyed || to.write(chunk))))
    from.on('end', () => inOrder(() => void to.end()))
    from.on('close', () => inOrder(() => to.destroy()))
  }
}

function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port) }
}
