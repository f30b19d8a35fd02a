import type { IncomingMessage, OutgoingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'

declare module 'fastify' {
  interface FastifyInstance {
    /** Cuts every connection. Node knows only of those that speak HTTP. */
    cutConnections: () => void
  }
}

const streamUrl = /^\/v1\/(jobs\/[\w-]{1,100}\/)?events(\?|$)/

/** Which connections may change from HTTP to WebSocket, and those that have: from then on Node takes no care of them. */
export class Upgrades {
  readonly #sockets = new Set<Duplex>()
  #isClosing = false

  /**
   * Every other request to speak another protocol is answered as if it had not asked: many clients offer HTTP/2 with each request.
   *
   * @returns whether the connection of a request is to speak WebSocket. Not while an answer is due on it: that would never end.
   */
  admits(request: IncomingMessage): boolean {
    const { _httpMessage: due }: { _httpMessage?: OutgoingMessage | null } = request.socket as object
    return asksForWebSocket(request) && !due && !this.#isClosing
  }

  /** Keeps an eye on the connections of a server that have changed. */
  watch(app: FastifyInstance): void {
    app.server.on('upgrade', (_request, socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    app.addHook('preClose', async () => {
      this.#isClosing = true
    })
    app.decorate('cutConnections', () => {
      app.server.closeAllConnections()
      for (const socket of this.#sockets) socket.destroy()
    })
  }
}

/** @returns whether a request wants to follow a stream over WebSocket. */
export function asksForWebSocket({ method, url = '', headers }: IncomingMessage): boolean {
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket' && streamUrl.test(url)
}
