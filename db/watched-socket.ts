import { Socket } from 'node:net'

/** How often a socket is looked at, in milliseconds. */
const lookEveryMs = 1_000

/** The other side has not answered; what it was asked for may have been done. */
class SilenceError extends Error {
  override readonly name = 'SilenceError'
  readonly code = 'ETIMEDOUT'
}

/**
 * A socket that is destroyed when something was sent on it and nothing has come since. TCP itself takes a quarter of an hour to find
 * that the other side is gone, and never finds that it stands still.
 *
 * Under TLS only the bytes are seen, not their order: there a request right after an answer is noticed with the next one.
 */
export class WatchedSocket extends Socket {
  #asked = false
  #written = 0
  #read = 0
  #silentLooks = 0

  /** @param silentMs longest silence, in milliseconds, counted in whole seconds. */
  constructor(silentMs: number) {
    super()
    const timer = setInterval(() => this.#look(silentMs), lookEveryMs).unref()
    this.once('close', () => clearInterval(timer))
  }

  override _write(...words: Parameters<Socket['_write']>): void {
    this.#asked = true
    super._write(...words)
  }

  override _writev(...words: Parameters<NonNullable<Socket['_writev']>>): void {
    this.#asked = true
    super._writev?.(...words)
  }

  override push(...words: Parameters<Socket['push']>): boolean {
    this.#asked = false
    return super.push(...words)
  }

  #look(silentMs: number): void {
    const { bytesWritten, bytesRead } = this
    const awaitsAnswer = this.#asked || bytesWritten > this.#written || this.#silentLooks > 0
    this.#silentLooks = awaitsAnswer && bytesRead === this.#read ? this.#silentLooks + 1 : 0
    this.#read = bytesRead
    this.#written = bytesWritten
    if (this.#silentLooks * lookEveryMs <= silentMs) return
    this.destroy(new SilenceError(`There was no answer for ${silentMs / 1_000} s; the connection is given up`))
  }
}

/** What the driver tells of where it wants to connect to; it names several hosts where the URL does. */
interface Target {
  readonly host: readonly string[]
  readonly port: readonly number[]
  readonly path?: string | false | undefined
}

/** @returns the driver's option `socket`: makes sockets that are watched, each to the next host. */
export function watchedSockets(silentMs: number): (target: Target) => Socket {
  let made = 0
  return ({ host, port, path }) => {
    const socket = new WatchedSocket(silentMs)
    const turn = made++ % host.length
    // Not at once: the driver does not listen to errors before it has the socket.
    setImmediate(() => void (path ? socket.connect(path) : socket.connect(port[turn] ?? 0, host[turn] ?? '')))
    // The driver reads the host of the certificate here.
    return Object.assign(socket, { host: host[turn] })
  }
}
