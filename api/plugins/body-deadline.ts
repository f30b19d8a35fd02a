import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/**
 * Cuts a request off whose body is not there in time, as `requestTimeout` of Node's server does; but that knows no exceptions,
 * and a stream may take as long as it goes on.
 */
export class BodyDeadline {
  readonly #ms: number
  /** Requests of this turn of the event loop. Of most the body has come as well when it ends. */
  #fresh: [IncomingMessage, ServerResponse][] = []
  readonly #lifted = new WeakSet<IncomingMessage>()

  /** @param ms time that a body may take, in milliseconds. */
  constructor(server: Server, ms: number) {
    this.#ms = ms
    server.prependListener('request', (request, response) => {
      if (this.#fresh.push([request, response]) === 1) setImmediate(() => this.#watchIncomplete(server))
    })
  }

  /** Lets this request take longer; from now on somebody else must watch it. */
  lift(request: IncomingMessage): void {
    this.#lifted.add(request)
  }

  #watchIncomplete(server: Server): void {
    const requests = this.#fresh
    this.#fresh = []
    for (const [request, response] of requests) {
      if (request.complete || request.destroyed) continue
      const timer = setTimeout(() => this.#lifted.has(request) || cutOff(server, request, response), this.#ms)
      request.once('close', () => clearTimeout(timer))
    }
  }
}

function cutOff(server: Server, request: IncomingMessage, response: ServerResponse): void {
  if (request.complete) return
  if (response.headersSent) request.socket.destroy()
  else
    server.emit(
      'clientError',
      Object.assign(new Error('Request timeout'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }),
      request.socket,
    )
}
