import { Webhook } from 'standardwebhooks'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { startWebhookReceiver, type WebhookReceiver } from './webhooks.ts'

const ours = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
const theirs = `whsec_${Buffer.alloc(32, 2).toString('base64')}`
const body = JSON.stringify({ type: 'job.completed' })

let receiver: WebhookReceiver
beforeEach(async () => {
  receiver = await startWebhookReceiver()
})
afterEach(() => receiver.close())

async function send(secret: string): Promise<number> {
  const now = new Date()
  const headers = {
    'webhook-id': 'a-job',
    'webhook-timestamp': String(Math.floor(now.getTime() / 1_000)),
    'webhook-signature': new Webhook(secret).sign('a-job', now, body),
  }
  const { status } = await fetch(receiver.url, { method: 'POST', headers, body })
  return status
}

it('keeps what is signed with its secret, as often as it comes', async () => {
  receiver.believe(ours)
  expect([await send(ours), await send(ours)]).toEqual([204, 204])
  const told = { jobId: 'a-job', type: 'job.completed' }
  expect(receiver).toMatchObject({ webhooks: [told, told], disbelieved: [] })
})

it('counts what is signed otherwise, and everything before it knows a secret', async () => {
  expect(await send(ours)).toBe(401)
  receiver.believe(ours)
  expect(await send(theirs)).toBe(401)
  expect(receiver.webhooks).toEqual([])
  expect(receiver.disbelieved).toHaveLength(2)
})
