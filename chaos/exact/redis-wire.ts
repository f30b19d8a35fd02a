import type { Socket } from 'node:net'
import type { Fault, OnCall } from './fault.ts'
import { messages, splitter, startWire, WireConnection, type Wire } from './wire.ts'

/** The commands of one call, each with its arguments: one command, or all from MULTI to EXEC. */
export type RedisCall = readonly (readonly Buffer[])[]

/**
 * Stands between clients and the Redis or Valkey of a `redis://` URL. Calls of one connection go to the server one after the other,
 * each when the one before is answered.
 */
export function startRedisWire(serverUrl: string, onCall: OnCall<RedisCall>): Promise<Wire> {
  return startWire(serverUrl, (client, server) => new RedisConnection(client, server, onCall))
}

class RedisConnection extends WireConnection {
  readonly #onCall: OnCall<RedisCall>
  #deliver = true
  #awaited = 0
  #answered: PromiseWithResolvers<void> | undefined
  /** Commands since a MULTI. */
  #block: Buffer[] = []

  constructor(client: Socket, server: Socket, onCall: OnCall<RedisCall>) {
    super(client, server)
    this.#onCall = onCall
    server.on(
      'data',
      splitter(
        (bytes) => endOfValue(bytes, 0),
        (reply) => this.#onReply(reply),
      ),
    )
    server.once('close', () => this.#answered?.reject(new Error('The server has closed the connection')))
  }

  async serve(): Promise<void> {
    for await (const command of messages(this.client, (bytes) => endOfValue(bytes, 0))) {
      const name = nameOf(argumentsOf(command))
      if (this.#block.length === 0 && name !== 'MULTI') await this.#call([command])
      else {
        this.#block.push(command)
        if (name !== 'EXEC' && name !== 'DISCARD') continue
        const block = this.#block
        this.#block = []
        await this.#call(block)
      }
    }
  }

  async #call(commands: readonly Buffer[]): Promise<void> {
    const fault = this.#onCall(commands.map(argumentsOf))
    if (!fault) return this.#exchange(commands, true)
    try {
      await this.#spoil(commands, fault)
    } finally {
      fault.done()
    }
  }

  async #spoil(commands: readonly Buffer[], fault: Fault): Promise<void> {
    switch (fault.kind) {
      case 'failed before':
        return this.#answerError(commands.length, fault.error)
      case 'executed, then failed':
        await this.#exchange(commands, false)
        return this.#answerError(commands.length, fault.error)
      case 'delayed':
        await this.hold(fault)
        return this.#exchange(commands, true)
      case 'doubled':
        await this.#exchange(commands, true)
        return this.#exchange(commands, false)
      case 'connection lost before':
        return this.hangUp()
      case 'connection lost after':
        await this.#exchange(commands, false)
        return this.hangUp()
    }
  }

  /** Of a block every command was taken, and EXEC has failed. */
  #answerError(commands: number, error: string): void {
    const taken = commands === 1 ? [] : ['+OK', ...Array.from({ length: commands - 2 }, () => '+QUEUED')]
    this.client.write([...taken, `-${error}`, ''].join('\r\n'))
  }

  async #exchange(commands: readonly Buffer[], deliver: boolean): Promise<void> {
    this.#deliver = deliver
    this.#awaited = commands.length
    if (this.server.destroyed) throw new Error('The server has closed the connection')
    this.#answered = Promise.withResolvers()
    this.send(commands)
    await this.#answered.promise
    this.#answered = undefined
    this.#deliver = true
  }

  #onReply(reply: Buffer): void {
    const pushed = reply[0] === pushType
    if (this.#deliver || pushed) this.client.write(reply)
    if (pushed) return
    this.#awaited--
    if (this.#awaited === 0) this.#answered?.resolve()
  }
}

/** @returns the name of a command, in capitals. */
export function nameOf([name]: readonly Buffer[]): string {
  return name?.toString('latin1').toUpperCase() ?? ''
}

const pushType = '>'.charCodeAt(0)
const lineEnd = '\r\n'

/** @returns where the value that begins at `start` ends, by RESP2 or RESP3; undefined while it is incomplete. */
function endOfValue(bytes: Buffer, start: number): number | undefined {
  const end = bytes.indexOf(lineEnd, start, 'latin1')
  if (end === -1) return undefined
  const next = end + lineEnd.length
  const type = String.fromCharCode(bytes[start] ?? 0)
  if (!'$!=*~>%|'.includes(type)) return next
  const size = Number(bytes.toString('latin1', start + 1, end))
  if (size < 0) return next
  if ('$!='.includes(type)) {
    const stop = next + size + lineEnd.length
    return stop <= bytes.length ? stop : undefined
  }
  const values = { '%': 2 * size, '|': 2 * size + 1 }[type] ?? size
  let at: number | undefined = next
  for (let value = 0; value < values && at !== undefined; value++) at = endOfValue(bytes, at)
  return at
}

/** The arguments of a command, which is an array of strings. */
function argumentsOf(command: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let at = command.indexOf(lineEnd) + lineEnd.length; at < command.length;) {
    const end = command.indexOf(lineEnd, at)
    const length = Number(command.toString('latin1', at + 1, end))
    const from = end + lineEnd.length
    parts.push(command.subarray(from, from + length))
    at = from + length + lineEnd.length
  }
  return parts
}
