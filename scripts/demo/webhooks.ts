import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'
import { serveLocally } from './local-server.ts'
import type { TerminalEvent } from './record.ts'

/** The server that the demo's endpoint leads to. */
export interface WebhookReceiver {
  readonly url: string
  /** `127.0.0.1:port` */
  readonly host: string
  /** What came with a right signature, as often as it came. */
  readonly webhooks: readonly TerminalEvent[]
  /** Why each of the others was not believed. */
  readonly disbelieved: readonly string[]
  /** Believes what is signed with this secret. */
  believe(secret: string): void
  close(): void
}

/** Starts the receiver on a free port. It believes nobody until it is told a secret. */
export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const webhooks: TerminalEvent[] = []
  const disbelieved: string[] = []
  let trusted = ''
  const { host, close } = await serveLocally(async (request, response) => {
    const body = await text(request)
    const headers = request.headers as Record<string, string>
    try {
      const { type } = new Webhook(trusted).verify(body, headers) as { type: string }
      webhooks.push({ jobId: headers['webhook-id'] ?? '', type })
      response.writeHead(204).end()
    } catch (error) {
      disbelieved.push((error as Error).message)
      response.writeHead(401).end()
    }
  })
  return {
    url: `http://${host}/hooks`,
    host,
    webhooks,
    disbelieved,
    believe: (secret) => {
      trusted = secret
    },
    close,
  }
}
