import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** What may become of the bytes between a process and a server. */
type Passage = 'open' | 'frozen' | 'mute'

interface Rule {
  readonly passage: Passage
  /** Text in the first bytes of the connections that it is for. */
  readonly only: string
}

const open: Rule = { passage: 'open', only: '' }

/**
 * The network between processes and a server, which can be cut, frozen, made slow or half-open. Bytes are never lost within a
 * connection that lives on, as TCP never loses them.
 */
export class Link {
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  #target: { host: string; port: number }
  /** What becomes of new connections. */
  #rule: Rule = open
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

  /** Whether one of its connections comes to the server from this port. */
  comesFrom(port: number): boolean {
    return [...this.#pairs].some((pair) => pair.port === port)
  }

  /** Resets every connection, or so many of a hundred, chosen by `chosen`. */
  cut(chosen: () => boolean = () => true): void {
    for (const pair of this.#pairs) if (chosen()) pair.destroy()
  }

  /** Resets every connection for the process alone: the server is not told, and goes on with what it was asked for. */
  desert(): void {
    for (const pair of this.#pairs) pair.desert()
  }

  /** Resets every connection and refuses new ones until {@link heal}. */
  sever(): void {
    this.#refuses = true
    this.cut()
  }

  /**
   * No byte passes any more, and no connection is closed, until {@link heal}.
   *
   * @param only those connections whose first bytes contain this text, as Postgres is told the name of an application.
   */
  freeze(only = ''): void {
    this.#setRule({ passage: 'frozen', only })
  }

  /** Requests pass, answers do not, until {@link heal}: what is asked for is done, and nobody is told. @param only see {@link freeze}. */
  mute(only = ''): void {
    this.#setRule({ passage: 'mute', only })
  }

  /** The other end of what is open has vanished without a word; new connections are fine. @param only see {@link freeze}. */
  strand(only = ''): void {
    for (const pair of this.#pairs) if (pair.says(only)) pair.setPassage('frozen')
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
    this.#rule = open
    for (const pair of this.#pairs) {
      if (drop && pair.passage !== 'open') pair.destroy()
      else pair.setPassage('open')
    }
  }

  async close(): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #setRule(rule: Rule): void {
    this.#rule = rule
    for (const pair of this.#pairs) this.#judge(pair)
  }

  #judge(pair: Pair): void {
    if (this.#rule.passage !== 'open' && pair.says(this.#rule.only)) pair.setPassage(this.#rule.passage)
  }

  #connect(client: Socket): void {
    if (this.#refuses) return void client.resetAndDestroy()
    const pair = new Pair(client, connect({ ...this.#target, allowHalfOpen: true }), () => this.#delayMs)
    this.#judge(pair)
    client.once('data', () => this.#judge(pair))
    this.#pairs.add(pair)
    pair.onClosed(() => this.#pairs.delete(pair))
  }
}

/** One connection: the client's side and the server's. */
class Pair {
  readonly #client: Socket
  readonly #server: Socket
  readonly #delayMs: () => number
  #passage: Passage = 'open'
  /** The first bytes of the client. */
  #greeting = ''
  #isDeserted = false

  constructor(client: Socket, server: Socket, delayMs: () => number) {
    this.#client = client
    this.#server = server
    this.#delayMs = delayMs
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => this.destroy())
    }
    client.once('data', (chunk: Buffer) => (this.#greeting = chunk.toString('latin1')))
    this.#pass(client, server)
    this.#pass(server, client)
  }

  get passage(): Passage {
    return this.#passage
  }

  /** Port of this end of the connection to the server. */
  get port(): number | undefined {
    return this.#server.localPort
  }

  /** Whether the first bytes contain a text; the empty one is in any. */
  says(text: string): boolean {
    return this.#greeting.includes(text)
  }

  setPassage(passage: Passage): void {
    this.#passage = passage
    if (passage === 'frozen') this.#client.pause()
    else this.#client.resume()
    if (passage === 'open') this.#server.resume()
    else this.#server.pause()
  }

  destroy(): void {
    for (const socket of [this.#client, this.#server]) if (!socket.destroyed) socket.resetAndDestroy()
  }

  /** Resets the client's side alone; the server's is closed when the link is healed. */
  desert(): void {
    this.#isDeserted = true
    this.#passage = 'mute'
    this.#client.resetAndDestroy()
  }

  onClosed(listener: () => void): void {
    this.#server.once('close', listener)
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
    from.on('close', () => inOrder(() => void (this.#isDeserted || to.destroy())))
  }
}

function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port) }
}
