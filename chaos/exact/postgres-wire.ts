import type { Socket } from 'node:net'
import type { Fault, OnCall } from './fault.ts'
import { messages, splitter, startWire, WireConnection, type Wire } from './wire.ts'

/** What {@link OnCall} is asked about when a connection is being made. */
export const connecting = 'connect'

/**
 * Stands between clients and the Postgres of a `postgres://` URL. A call is a statement, with its text, or {@link connecting}. Calls
 * of one connection go to the server one after the other, each when the one before is answered.
 */
export function startPostgresWire(serverUrl: string, onCall: OnCall<string>): Promise<Wire> {
  return startWire(serverUrl, (client, server) => new PostgresConnection(client, server, onCall))
}

const requestCodes = { cancel: 80_877_102, ssl: 80_877_103, gss: 80_877_104 }
const sync = message('S')
/** Messages that the server may send at any time. */
const unasked = new Set('ANS')
/** How many of the server's answers reach the client. */
type Delivery = 'everything' | 'all but the end' | 'nothing'

class PostgresConnection extends WireConnection {
  readonly #onCall: OnCall<string>
  readonly #statements = new Map<string, string>()
  #started = false
  #starting: Promise<unknown> = Promise.resolve()
  #delivery: Delivery = 'everything'
  #ready: PromiseWithResolvers<Buffer> | undefined
  /** Text of the statement that the collected messages execute. */
  #text: string | undefined
  /** Messages that execute a statement, whose Sync has not come yet. */
  #collected: Buffer[] = []

  constructor(client: Socket, server: Socket, onCall: OnCall<string>) {
    super(client, server)
    this.#onCall = onCall
    server.on(
      'data',
      splitter(typedLength, (answer) => this.#onAnswer(answer)),
    )
    server.once('close', () => this.#ready?.reject(new Error('The server has closed the connection')))
  }

  async serve(): Promise<void> {
    const lengthOf = (bytes: Buffer) => (this.#started ? typedLength(bytes) : untypedLength(bytes))
    for await (const request of messages(this.client, lengthOf)) {
      if (!this.#started) this.#onUntyped(request)
      else if (typeOf(request) === 'p') this.send([request])
      else {
        await this.#starting
        await this.#onRequest(request)
      }
    }
  }

  #onUntyped(request: Buffer): void {
    const code = request.readInt32BE(4)
    if (code === requestCodes.ssl || code === requestCodes.gss) this.client.write('N')
    else if (code === requestCodes.cancel) this.send([request])
    else {
      this.#started = true
      this.#starting = this.#start(request)
      this.#starting.catch(() => this.hangUp())
    }
  }

  async #start(request: Buffer): Promise<void> {
    const fault = this.#onCall(connecting)
    try {
      if (fault?.kind === 'delayed') await this.hold(fault)
      if (fault?.kind === 'connection lost before') return this.hangUp()
      const refused = fault?.kind === 'failed before'
      const spoilt = refused || fault?.kind === 'executed, then failed' || fault?.kind === 'connection lost after'
      if (!refused) await this.#exchange([request], spoilt ? 'all but the end' : 'everything')
      if (fault && /fail/.test(fault.kind)) this.client.write(errorResponse('FATAL', fault.error))
      if (spoilt) this.client.destroySoon()
    } finally {
      fault?.done()
    }
  }

  async #onRequest(request: Buffer): Promise<void> {
    const type = typeOf(request)
    if (type === 'Q') await this.#call([request], textAt(request, 5))
    else if (type === 'S') {
      const [collected, text] = [this.#collected, this.#text]
      this.#collected = []
      this.#text = undefined
      await this.#call([...collected, request], text)
    } else if (this.#collected.length === 0 && type !== 'B') {
      if (type === 'P') this.#statements.set(textAt(request, 5), textAfter(request, 5))
      this.send([request]) // prepares; nobody waits for a Sync before the server has answered that
    } else {
      if (type === 'B') this.#text = this.#statements.get(textAfter(request, 5)) ?? ''
      this.#collected.push(request)
    }
  }

  /** Executes a statement, unless a fault has it otherwise. @param call messages up to a Sync, or one Query. */
  async #call(call: readonly Buffer[], text: string | undefined): Promise<void> {
    const fault = text === undefined ? undefined : this.#onCall(text)
    if (!fault) {
      await this.#exchange(call, 'everything')
      return
    }
    try {
      await this.#spoil(call, text ?? '', fault)
    } finally {
      fault.done()
    }
  }

  async #spoil(call: readonly Buffer[], text: string, fault: Fault): Promise<void> {
    switch (fault.kind) {
      case 'failed before':
        if (typeOf(call[0]) !== 'Q') await this.#exchange([sync], 'all but the end')
        return this.#refuse(text, fault.error)
      case 'executed, then failed': {
        const ready = await this.#exchange(call, 'nothing')
        this.client.write(Buffer.concat([errorResponse('ERROR', fault.error), ready]))
        return
      }
      case 'delayed':
        await this.hold(fault)
        await this.#exchange(call, 'everything')
        return
      case 'doubled':
        await this.#exchange(call, 'everything')
        await this.#exchange(call, 'nothing')
        return
      case 'connection lost before':
        return this.hangUp()
      case 'connection lost after':
        await this.#exchange(call, 'nothing')
        return this.hangUp()
    }
  }

  /** Lets the server itself fail, so that a transaction is as it is after an error: a COMMIT that fails has rolled back. */
  async #refuse(text: string, code: string): Promise<void> {
    if (/^\s*commit/i.test(text)) {
      const ready = await this.#exchange([message('Q', 'rollback\0')], 'nothing')
      this.client.write(Buffer.concat([errorResponse('ERROR', code), ready]))
    } else {
      const failing = `do $$ begin raise exception using errcode = '${code}', message = '${injected}'; end $$\0`
      await this.#exchange([message('Q', failing)], 'everything')
    }
  }

  /** @returns the server's ReadyForQuery. */
  async #exchange(call: readonly Buffer[], delivery: Delivery): Promise<Buffer> {
    this.#delivery = delivery
    if (this.server.destroyed) throw new Error('The server has closed the connection')
    this.#ready = Promise.withResolvers()
    this.send(call)
    const ready = await this.#ready.promise
    this.#ready = undefined
    this.#delivery = 'everything'
    return ready
  }

  #onAnswer(answer: Buffer): void {
    const type = typeOf(answer)
    if (unasked.has(type)) this.client.write(answer)
    else if (type === 'Z') {
      if (this.#delivery === 'everything') this.client.write(answer)
      this.#ready?.resolve(answer)
    } else if (this.#delivery !== 'nothing') this.client.write(answer)
  }
}

const injected = 'a fault that was injected'

function untypedLength(bytes: Buffer): number | undefined {
  return bytes.length < 8 ? undefined : bytes.readInt32BE(0)
}

function typedLength(bytes: Buffer): number | undefined {
  return bytes.length < 5 ? undefined : bytes.readInt32BE(1) + 1
}

function typeOf(bytes: Buffer | undefined): string {
  return String.fromCharCode(bytes?.[0] ?? 0)
}

function textAt(bytes: Buffer, start: number): string {
  return bytes.toString('utf8', start, bytes.indexOf(0, start))
}

/** The second of two texts. */
function textAfter(bytes: Buffer, start: number): string {
  return textAt(bytes, bytes.indexOf(0, start) + 1)
}

function message(type: string, body = ''): Buffer {
  const bytes = Buffer.alloc(5 + Buffer.byteLength(body))
  bytes.write(type)
  bytes.writeInt32BE(bytes.length - 1, 1)
  bytes.write(body, 5)
  return bytes
}

function errorResponse(severity: 'ERROR' | 'FATAL', code: string): Buffer {
  return message('E', `S${severity}\0V${severity}\0C${code}\0M${injected}\0\0`)
}
