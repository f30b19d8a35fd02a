import { setTimeout as delay } from 'node:timers/promises'
import { adminKey } from '@jobyard/testing/platform'
import { Agent, request, WebSocket } from 'undici'

/** A message as a reader of the stream got it. */
export interface Message {
  readonly id: string
  readonly type: string
  readonly data: MessageData
}

/** Of an event, or of what is told of the stream itself. */
interface MessageData {
  readonly data?: { readonly id: string }
  readonly reason?: string
  readonly missedFrom?: number
  readonly missedThrough?: number
}

/** @returns the position in the stream that a message has; 0 without one. */
export function positionOf(message: Message | undefined): number {
  return Number(message?.id.split('-')[0] ?? 0)
}

interface Connecting {
  /** `http://host:port` */
  readonly base: string
  /** Where to go on; from now on when absent. */
  readonly lastId: string | undefined
  /** Ends the connection. */
  readonly signal: AbortSignal
  /** Gets the `id` at each, and the message where there is one. */
  readonly onMessage: (id: string, message?: Message) => void
}

/** Reads the stream until the connection ends, one way or another. */
export type Connect = (connecting: Connecting) => Promise<void>

const path = '/v1/events'
const againAfterMs = 100
const headers = { authorization: `Bearer ${adminKey}` }

/** Reads `GET /v1/events` as server-sent events. */
export const serverSentEvents: Connect = async ({ base, lastId, signal, onMessage }) => {
  const agent = new Agent({ connectTimeout: 2_000 })
  try {
    const { body, statusCode } = await request(base + path, {
      dispatcher: agent,
      headers: { ...headers, ...(lastId !== undefined && { 'last-event-id': lastId }) },
      signal,
    })
    if (statusCode !== 200) return await body.dump()
    let text = ''
    body.setEncoding('utf8')
    for await (const chunk of body) {
      const blocks = (text + String(chunk)).split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]))
        const [id = '', type = '', data] = [fields.get('id'), fields.get('event'), fields.get('data')]
        onMessage(id, data === undefined ? undefined : { id, type, data: JSON.parse(data) as MessageData })
      }
    }
  } finally {
    await agent.destroy()
  }
}

/** Reads the same over a WebSocket. */
export const webSocket: Connect = async ({ base, lastId, signal, onMessage }) => {
  const query = lastId === undefined ? '' : `?lastEventId=${lastId}`
  const socket = new WebSocket(`${base.replace('http', 'ws')}${path}${query}`, { headers })
  const closed = new Promise<void>((resolve) => socket.addEventListener('close', () => resolve()))
  socket.addEventListener('error', () => {})
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message
    onMessage(message.id, message.type === 'open' ? undefined : message)
  })
  signal.addEventListener('abort', () => socket.close())
  await closed
}

/** A reader of the stream of all jobs who goes on where it was, at whichever API there is. It writes down what it was told. */
export class Follower {
  readonly name: string
  readonly messages: Message[] = []
  readonly #connect: Connect
  readonly #api: () => string | undefined
  readonly #stopping = new AbortController()
  #lastId: string | undefined
  #base: string | undefined
  #running: Promise<void> | undefined

  /** @param options.api `http://host:port` of an API that works; asked for at each connection. */
  constructor(options: { name: string; connect: Connect; api: () => string | undefined }) {
    this.name = options.name
    this.#connect = options.connect
    this.#api = options.api
  }

  /** The API that it reads from, or last tried. */
  get base(): string | undefined {
    return this.#base
  }

  /** Reads until it is stopped. @param lastId where it goes on; from now on when absent. */
  start(lastId?: string): void {
    this.#lastId = lastId
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      this.#base = this.#api()
      if (this.#base !== undefined) await this.#read(this.#base).catch(() => {}) // it goes on elsewhere
      await delay(againAfterMs)
    }
  }

  async #read(base: string): Promise<void> {
    const onMessage = (id: string, message?: Message) => {
      if (id !== '') this.#lastId = id
      if (message) this.messages.push(message)
    }
    await this.#connect({ base, lastId: this.#lastId, signal: this.#stopping.signal, onMessage })
  }
}
