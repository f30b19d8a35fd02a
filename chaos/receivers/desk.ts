import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'
import type { Certificate } from './certificate.ts'
import { answers, secureKinds, takes, type Kind } from './kinds.ts'

/** Name of the receiver to which others redirect. */
export const witnessName = 'witness'

/** What a receiver is to be. */
export interface ReceiverSpec {
  readonly name: string
  readonly kind: Kind
  /** Requests, or attempts to connect, after which it is healthy; never when absent. */
  readonly recoversAfter?: number
}

/** An event as it came to one receiver. */
export interface Arrival {
  /** Its `webhook-id`. */
  readonly id: string
  /** When it came, in milliseconds since 1970. */
  readonly times: number[]
  /** Time from the moment of the event until it came first. */
  readonly lagMs: number
  /** How often it was answered with 2xx in time. */
  taken: number
}

/** How far a receiver has come. */
export interface Count {
  /** Events that it has taken, each counted once. */
  readonly taken: number
  readonly requests: number
}

/** All that one receiver has seen. */
export interface Reading {
  readonly connections: number
  readonly requests: number
  readonly arrivals: readonly Arrival[]
  /** What was wrong with requests: a signature, or a body that was another one before; each once. */
  readonly faults: readonly string[]
}

/** Of both certificates that receivers may show. */
export interface Certificates {
  readonly valid: Certificate
  readonly expired: Certificate
}

/** One receiver of webhooks: it verifies what comes, writes it down, and answers as its kind does. */
export class Desk {
  readonly #spec: ReceiverSpec
  readonly #witness: string
  readonly #server: Server
  readonly #released = Promise.withResolvers<void>()
  readonly #arrivals = new Map<string, Arrival>()
  readonly #digests = new Map<string, string>()
  readonly #faults = new Set<string>()
  readonly #webhooks: Webhook[] = []
  #connections = 0
  #requests = 0
  /** Requests, or attempts to connect, that it did not take. */
  #failures = 0
  #taken = 0

  private constructor(spec: ReceiverSpec, certificates: Certificates, witness: string) {
    this.#spec = spec
    this.#witness = witness
    const answer = (request: IncomingMessage, response: ServerResponse) =>
      void this.#receive(request, response).catch(() => response.destroy())
    this.#server = secureKinds.includes(spec.kind)
      ? this.#secure(createSecureServer(certificates.valid, answer), certificates)
      : createServer(answer)
    this.#server.on('connection', () => this.#connections++)
  }

  /** @param witness URL to which it redirects, if it does. */
  static async open(spec: ReceiverSpec, certificates: Certificates, witness: string): Promise<Desk> {
    const desk = new Desk(spec, certificates, witness)
    desk.#server.listen(0, '127.0.0.1')
    await once(desk.#server, 'listening')
    return desk
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo
    const scheme = secureKinds.includes(this.#spec.kind) ? 'https' : 'http'
    return `${scheme}://127.0.0.1:${port}/hook`
  }

  /** How far it has come. */
  get count(): Count {
    return { taken: this.#taken, requests: this.#requests }
  }

  /** Believes what is signed with this secret too. */
  believe(secret: string): void {
    this.#webhooks.push(new Webhook(secret))
  }

  /** Gives the answers that are held back, and those to come at once. */
  release(): void {
    this.#released.resolve()
  }

  read(): Reading {
    return {
      connections: this.#connections,
      requests: this.#requests,
      arrivals: [...this.#arrivals.values()],
      faults: [...this.#faults],
    }
  }

  /** Shows the expired certificate, and the valid one from when it has recovered. */
  #secure(server: SecureServer, { valid, expired }: Certificates): SecureServer {
    if (this.#spec.kind !== 'certificate expired') return server
    server.setSecureContext(expired)
    return server.on('tlsClientError', () => {
      if (++this.#failures === this.#spec.recoversAfter) server.setSecureContext(valid)
    })
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request)
    this.#requests++
    const { kind, recoversAfter = Infinity } = this.#spec
    const now = this.#failures >= recoversAfter ? 'healthy' : kind
    if (!takes(now)) this.#failures++
    const arrival = this.#note(request.headers as Record<string, string>, body)
    if (!arrival) return void response.writeHead(401).end()
    if (takes(now) && arrival.taken++ === 0) this.#taken++
    await answers[now](response, { witness: this.#witness, released: this.#released.promise })
  }

  /** @returns undefined when the request is not to be believed. */
  #note(headers: Record<string, string>, body: string): Arrival | undefined {
    const id = headers['webhook-id'] ?? ''
    const event = this.#verify(headers, body)
    if (!event) return undefined
    if (event.data.id !== id) this.#faults.add(`Event ${id} is of job ${event.data.id}`)
    if (this.#isAnother(id, body)) this.#faults.add(`Event ${id} came with another body than before`)
    const now = Date.now()
    const arrival = this.#arrivals.get(id) ?? { id, times: [], lagMs: now - Date.parse(event.timestamp), taken: 0 }
    arrival.times.push(now)
    this.#arrivals.set(id, arrival)
    return arrival
  }

  #isAnother(id: string, body: string): boolean {
    const digest = createHash('sha256').update(body).digest('hex').slice(0, 16)
    const known = this.#digests.get(id)
    this.#digests.set(id, digest)
    return known !== undefined && known !== digest
  }

  #verify(headers: Record<string, string>, body: string) {
    let trouble: string | undefined
    for (const webhook of this.#webhooks) {
      try {
        return webhook.verify(body, headers) as { timestamp: string; data: { id: string } }
      } catch (error) {
        trouble = String(error)
      }
    }
    if (trouble !== undefined) this.#faults.add(`A request was not signed with a secret of the endpoint: ${trouble}`)
    return undefined
  }
}
