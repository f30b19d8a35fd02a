import { Socket } from 'node:net'

/** How often a socket is looked at, in milliseconds. */
const lookEveryMs = 1_000

/** The other side has not answered; what it was asked for may have been done. */
class SilenceError extends Error {
  override readonly name = 'SilenceError'
  readonly code = 'ETIMEDOUT'
}

/**
 * Destroys a socket on which something was sent and nothing has come since. TCP itself takes a quarter of an hour to find that the
 * other side is gone, and never finds that it stands still.
 *
 * @param silentMs longest silence, in milliseconds, counted in whole seconds.
 * @returns the same socket.
 */
export function watchSilence(socket: Socket, silentMs: number): Socket {
  let [written, read, silentLooks] = [0, 0, 0]
  const timer = setInterval(() => {
    if (socket.destroyed) return clearInterval(timer)
    const awaitsAnswer = socket.bytesRead === read && (silentLooks > 0 || socket.bytesWritten > written)
    read = socket.bytesRead
    written = socket.bytesWritten
    silentLooks = awaitsAnswer ? silentLooks + 1 : 0
    if (silentLooks * lookEveryMs <= silentMs) return
    socket.destroy(new SilenceError(`There was no answer for ${silentMs / 1_000} s; the connection is given up`))
  }, lookEveryMs)
  timer.unref()
  return socket
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
    const socket = watchSilence(new Socket(), silentMs)
    if (path) return socket.connect(path)
    const turn = made++ % host.length
    // The driver reads the host of the certificate here.
    return Object.assign(socket.connect(port[turn] ?? 0, host[turn] ?? ''), { host: host[turn] })
  }
}
