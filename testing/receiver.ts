import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** A request that a receiver of webhooks got. */
export interface ReceivedWebhook {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A receiver of webhooks that remembers what it got. */
export interface Receiver {
  readonly url: string
  /** `host:port`, as OUTBOUND_ALLOW wants it. */
  readonly host: string
  readonly received: ReceivedWebhook[]
  /** Answers from now on with this. */
  answerWith(status: number, body?: string): void
  close(): Promise<void>
}

/** Starts a receiver that answers 200 until it is told otherwise. */
export async function startReceiver(): Promise<Receiver> {
  const received: ReceivedWebhook[] = []
  let [status, answer] = [200, 'thank you']
  const take = async (request: IncomingMessage, response: ServerResponse) => {
    received.push({ headers: request.headers, body: await text(request) })
    response.writeHead(status).end(answer)
  }
  const server = createServer((request, response) => void take(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: `http://${host}/hook`,
    host,
    received,
    answerWith: (nextStatus, nextAnswer = '') => {
      status = nextStatus
      answer = nextAnswer
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
