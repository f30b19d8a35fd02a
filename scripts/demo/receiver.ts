import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { serveLocally } from './local-server.ts'

/** What came in at `/orders/{number}`. */
export interface ReceivedRequest {
  readonly number: number
  readonly body: string
  /** Status that it was answered with. */
  readonly status: number
}

/** The server that the demo's `http.request` jobs call, and from which `image.thumbnail` takes its photo. */
export interface Receiver {
  /** `127.0.0.1:port` */
  readonly host: string
  readonly requests: readonly ReceivedRequest[]
  close(): void
}

/**
 * Starts the receiver on a free port. It takes `POST /orders/{number}`, answers the first one of each number in `busyFor` with 503,
 * serves the photo at `/photo.jpg`, and has nothing else.
 */
export async function startReceiver(photo: Buffer, busyFor: readonly number[]): Promise<Receiver> {
  const requests: ReceivedRequest[] = []
  const stillBusyFor = new Set(busyFor)
  const takeOrder = async (request: IncomingMessage, response: ServerResponse, number: number) => {
    const body = await text(request)
    const status = stillBusyFor.delete(number) ? 503 : 200
    requests.push({ number, body, status })
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ order: number }))
  }
  const { host, close } = await serveLocally(async (request, response) => {
    const order = /^\/orders\/(\d+)$/.exec(request.url ?? '')
    if (order) await takeOrder(request, response, Number(order[1]))
    else if (request.url === '/photo.jpg') response.writeHead(200, { 'content-type': 'image/jpeg' }).end(photo)
    else response.writeHead(404).end('There is nothing here.')
  })
  return { host, requests, close }
}
