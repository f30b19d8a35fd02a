import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { beService } from '../accept/service.ts'
import { takePrecedence } from '../latency/precedence.ts'
import { ArrivalLog } from './arrivals.ts'
import type { Receipts, ReceiverQuestion, ReceiverReport, ReceiverTask } from './receiver.ts'

/** Of so many requests to an endpoint one is checked for its signature: the first, and so on. */
const checkEvery = 100
/** Pause between two lines that tell how much has come, in milliseconds. */
const tellEveryMs = 5

takePrecedence()
const { endpoints } = await beService<ReceiverTask>()
const arrivals = new ArrivalLog()
let webhooks: readonly Webhook[] = []
let requests = Array.from({ length: endpoints }, () => 0)
let bytes = 0
let checked = 0
const complaints: string[] = []

/** Notes a request at its last byte; it is answered already. */
function note(endpoint: number, headers: IncomingHttpHeaders, body: Buffer[]): void {
  const id = String(headers['webhook-id'])
  arrivals.note(`${endpoint} ${id}`)
  const before = requests[endpoint] ?? 0
  requests[endpoint] = before + 1
  if (before % checkEvery > 0) return
  checked++
  try {
    const event = webhooks[endpoint]?.verify(Buffer.concat(body), headers as Record<string, string>)
    if ((event as { data?: { id?: string } }).data?.id !== id) complaints.push(`The event ${id} tells of another job`)
  } catch (error) {
    complaints.push(`The signature of ${id} does not hold: ${String(error)}`)
  }
}

async function answer(question: ReceiverQuestion): Promise<unknown> {
  if (question.kind === 'secrets') {
    webhooks = question.secrets.map((secret) => new Webhook(secret))
    return webhooks.length
  }
  const count = await arrivals.wait(question.deliveries, question.timeoutMs)
  if (question.kind === 'wait') return count
  const receipts: Receipts = { requests, bytes, checked, complaints, arrivals: arrivals.take() }
  requests = requests.map(() => 0)
  bytes = 0
  return receipts
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const servers = Array.from({ length: endpoints }, (_, endpoint) =>
  createHttpServer((request, response) => {
    const body: Buffer[] = []
    request.on('data', (chunk: Buffer) => body.push(chunk))
    request.on('end', () => {
      response.writeHead(200).end()
      bytes += request.socket.bytesRead // a delivery has a connection of its own
      note(endpoint, request.headers, body)
    })
  }),
)
const progress = createServer((socket) => {
  const telling = setInterval(() => socket.write(`${arrivals.count}\n`), tellEveryMs)
  socket.on('error', () => {}).on('close', () => clearInterval(telling))
})
process.on('message', (question: ReceiverQuestion) => void answer(question).then((told) => process.send?.(told)))
const report: ReceiverReport = { ports: await Promise.all(servers.map(listen)), progressPort: await listen(progress) }
process.send?.(report)
