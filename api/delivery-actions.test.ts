import { insertDelivery } from '@jobyard/db/deliveries'
import { newId } from '@jobyard/db/ids'
import { openCarrier } from '@jobyard/queues/carrier'
import { TicketSender } from '@jobyard/queues/tickets'
import { expect, it, onTestFinished } from 'vitest'
import { addEndpoint } from '../testing/endpoints.ts'
import { openRecord } from '../testing/record.ts'
import { DeliveryActions, type RedeliveryPlace } from './delivery-actions.ts'

it('Redelivering more than one call makes goes on where that has ended, and behind it in time', async () => {
  const record = await openRecord()
  const carrier = openCarrier({ databaseUrl: record.url, onError: () => {} })
  onTestFinished(async () => {
    await carrier.close()
    await record.close()
  })
  const { sql } = record
  const { endpoint } = await addEndpoint(sql)
  const terms = { type: 'webhook.deliver', queue: 'webhooks', maxAttempts: 10, timeoutMs: 1_000 }
  for (let count = 0; count < 7; count++) {
    const delivery = { id: newId(), eventId: newId(), eventType: 'job.failed', position: count, input: '{}' }
    await insertDelivery(sql, { tenant: 'default', endpointId: endpoint.id }, delivery, terms)
  }
  await sql`update jobs set status = 'failed', ticketed_at = null, finished_at = now()`
  const tickets = new TicketSender(carrier, { contracts: [], onLost: () => {} })
  const actions = new DeliveryActions(sql, tickets, { redeliveries: 4, together: 2 })
  const wanted = { status: 'failed' as const, since: new Date(0).toISOString(), perSecond: 1 }
  const call = (dryRun: boolean, place?: RedeliveryPlace) =>
    actions.redeliverMany('default', { ...wanted, dryRun }, place)
  const all = async (dryRun: boolean) => {
    const first = await call(dryRun)
    const second = await call(dryRun, first.next)
    return [first.deliveries, second.deliveries, second.next]
  }
  expect(await all(true)).toEqual([4, 3, undefined])
  expect(await all(false)).toEqual([4, 3, undefined])
  const made = await sql<{ id: string; seconds: number; priority: number }[]>`
    select redrive_of as id, extract(epoch from coalesce(due_at, created_at) - min(created_at) over ())::float8 as seconds, priority
    from jobs where redrive_of is not null order by redrive_of desc`
  expect(new Set(made.map(({ id }) => id)).size).toBe(7)
  for (const [index, { seconds, priority }] of made.entries()) {
    expect(Math.abs(seconds - index)).toBeLessThan(0.5)
    expect(priority).toBe(1)
  }
  expect(await all(false)).toEqual([0, 0, undefined])
})
