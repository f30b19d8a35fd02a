import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'

/** A request as it came. */
export interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A receiver of webhooks on this machine. */
export interface Receiver {
  readonly url: string
  /** `host:port`, for an allow list. */
  readonly host: string
  readonly received: Received[]
  /** Answers from now on: a status and headers, or whatever the function does. */
  answer: { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string } | Answerer
}

type Answerer = (request: IncomingMessage, response: ServerResponse) => void

/** Starts a receiver that answers 200; it ends with the test. */
export async function startReceiver(): Promise<Receiver> {
  const server = createServer((request, response) => void receive(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const receiver: Receiver = { url: `http://${host}/hook`, host, received: [], answer: { status: 200 } }
  const receive = async (request: IncomingMessage, response: ServerResponse) => {
    receiver.received.push({ headers: request.headers, body: await text(request) })
    const { answer } = receiver
    if (typeof answer === 'function') answer(request, response)
    else response.writeHead(answer.status, answer.headers).end(answer.body)
  }
  return receiver
}
