import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/**
 * Cuts a request off whose body is not there in time, as `requestTimeout` of Node's server does; but that knows no exceptions,
 * and a stream may take as long as it goes on.
 */
export class BodyDeadline {
  readonly #ms: number
  readonly #timers = new WeakMap<IncomingMessage, NodeJS.Timeout>()

  /** @param ms time that a body may take, in milliseconds. */
  constructor(server: Server, ms: number) {
    this.#ms = ms
    server.prependListener('request', (request, response) => this.#watch(server, request, response))
  }

  /** Lets this request take longer; from now on somebody else must watch it. */
  lift(request: IncomingMessage): void {
    clearTimeout(this.#timers.get(request))
  }

  #watch(server: Server, request: IncomingMessage, response: ServerResponse): void {
    const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
    if (encoding === undefined && (length === undefined || length === '0')) return
    const timer = setTimeout(() => cutOff(server, request, response), this.#ms)
    this.#timers.set(request, timer)
    request.once('close', () => clearTimeout(timer))
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
