import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { addEndpoint } from '../testing/endpoints.ts'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { insertDelivery, readDeliveryPage, redeliver, type DeliveryFilter } from './deliveries.ts'
import { newId } from './ids.ts'

let record: TestRecord
let endpointId: string
beforeAll(async () => {
  record = await openRecord()
})
beforeEach(async () => {
  await record.sql`truncate jobs, endpoints, deliveries, arrivals`
  endpointId = (await addEndpoint(record.sql)).endpoint.id
})
afterAll(() => record.close())

const terms = { type: 'webhook.deliver', queue: 'webhooks', maxAttempts: 10, timeoutMs: 1_000 }

async function deliver(status: 'completed' | 'failed' = 'completed'): Promise<string> {
  const id = newId()
  const delivery = { id, eventId: newId(), eventType: 'job.completed', position: 1, input: '{}' }
  await insertDelivery(record.sql, { tenant: 'default', endpointId }, delivery, terms)
  await record.sql`update jobs set status = ${status}, ticketed_at = null, finished_at = now() where id = ${id}`
  return id
}

const page = async (filter: DeliveryFilter, limit = 10, look = 3) => {
  const { deliveries, next } = await readDeliveryPage(record.sql, 'default', filter, limit, look)
  return { ids: deliveries.map(({ id }) => id), next }
}

it('A page on which nothing fits ends where it has looked, and the next one goes on from there', async () => {
  const failed = await deliver('failed')
  const [third] = [await deliver(), await deliver(), await deliver()]
  expect(await page({ status: 'failed' })).toEqual({ ids: [], next: third })
  expect(await page({ status: 'failed', before: third })).toEqual({ ids: [failed], next: undefined })
  expect(await page({ eventType: 'job.failed' })).toEqual({ ids: [], next: third })
  expect((await page({})).ids).toHaveLength(4)
})

it('Deliveries that were made again since are left out, by the listing and by who makes them again', async () => {
  const [first, second] = [await deliver('failed'), await deliver('failed')]
  const again = (of: string, delayMs = 0) =>
    redeliver(record.sql, 'default', [{ of, id: newId(), delayMs }], { onlyLatest: true })
  expect(await again(second)).toMatchObject([{ isDue: true }])
  expect(await again(second)).toEqual([])
  expect(await page({ status: 'failed', repeatable: true })).toMatchObject({ ids: [first] })
  const [later] = await again(first, 60_000)
  expect(later).toMatchObject({ isDue: false })
  expect(await record.job(later!.id)).toMatchObject({ status: 'scheduled', ticketedAt: null })
})

it('Deliveries that may be made again are those to endpoints that are enabled', async () => {
  const failed = await deliver('failed')
  expect((await page({ status: 'failed', repeatable: true })).ids).toEqual([failed])
  await record.sql`update endpoints set disabled_at = now(), disabled_reason = 'asked'`
  expect((await page({ status: 'failed', repeatable: true })).ids).toEqual([])
  expect((await page({ status: 'failed' })).ids).toEqual([failed])
})

it('Two who make all deliveries again at the same time make each once', async () => {
  const failed = await Promise.all(Array.from({ length: 20 }, () => deliver('failed')))
  const again = () =>
    redeliver(
      record.sql,
      'default',
      failed.map((of) => ({ of, id: newId() })),
      { onlyLatest: true },
    )
  const made = await Promise.all([again(), again(), again(), again()])
  expect(made.flat()).toHaveLength(failed.length)
  expect(await record.sql`select from deliveries`).toHaveLength(2 * failed.length)
})
