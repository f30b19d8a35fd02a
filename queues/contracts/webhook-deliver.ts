import { z } from 'zod'
import { defineJob } from '../define-job.ts'

const second = 1_000
const minute = 60 * second
const hour = 60 * minute

/** What is kept of a receiver's answer. */
const answer = {
  status: z.int(),
  latencyMs: z.number(),
  body: z.string().describe('Its first characters.'),
}

/** Brings one event to one endpoint. Made by the platform; its waits are those that Standard Webhooks recommends: three days in all. */
export const webhookDeliver = defineJob({
  type: 'webhook.deliver',
  queue: 'webhooks',
  description: 'Brings an event to an endpoint.',
  internal: true,
  input: z.strictObject({
    endpointId: z.uuid(),
    eventId: z.uuid(),
    position: z.int().optional().describe('Where the event stands in the stream.'),
    body: z.string().optional().describe('As it is sent, in every attempt; made of the event if left out.'),
  }),
  output: z.strictObject(answer),
  retry: {
    maxAttempts: 10,
    delaysMs: [5 * second, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour],
    jitter: 0.1,
  },
  timeoutMs: 30_000,
})

export type DeliveryInput = z.output<typeof webhookDeliver.input>
