import { listDeliveries, readDelivery } from '@jobyard/db/deliveries'
import { getAttempts } from '@jobyard/db/jobs'
import { Webhook } from 'standardwebhooks'
import { expect, it, onTestFinished } from 'vitest'
import { addEndpoint } from '../testing/endpoints.ts'
import { describeOnBothCarriers, startPlatform, type CarrierKind } from '../testing/platform.ts'
import { startReceiver } from '../testing/receiver.ts'

async function start(kind: CarrierKind, outboundAllow: string, workers = 1) {
  const platform = await startPlatform(kind, { outboundAllow, workers, concurrency: 20 })
  onTestFinished(() => platform.stop())
  return platform
}

const soon = { timeout: 20_000, interval: 50 }

describeOnBothCarriers('Notifications', (kind) => {
  it('reach the endpoint, signed, with the id of the event, and the delivery is in the record', async () => {
    const receiver = await startReceiver()
    const platform = await start(kind, receiver.host)
    const { secret } = await addEndpoint(platform.db.sql, { url: receiver.url })
    const { id } = await platform.run('echo', { value: 1 })
    await expect.poll(() => receiver.received.length, soon).toBe(1)
    const [{ headers, body } = { headers: {}, body: '' }] = receiver.received
    expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toMatchObject({
      type: 'job.completed',
      data: { id, type: 'echo', status: 'completed', sequence: 1 },
    })
    expect(headers['webhook-id']).toBe(id)
    await expect
      .poll(() => listDeliveries(platform.db.sql, 'default', { event: id }, 10), soon)
      .toMatchObject([{ status: 'completed', attemptsMade: 1, output: { status: 200 } }])
  })

  it('are repeated until they are taken, with the same id and body and another signature', async () => {
    const receiver = await startReceiver()
    const platform = await start(kind, receiver.host)
    const { secret } = await addEndpoint(platform.db.sql, { url: receiver.url })
    receiver.answer = { status: 500, body: 'not now' }
    const { id } = await platform.run('echo', { value: 1 })
    await expect.poll(() => receiver.received.length, soon).toBe(1)
    receiver.answer = { status: 200 }
    await expect.poll(() => receiver.received.length, soon).toBe(2)
    const [first, second] = receiver.received
    expect(second!.body).toBe(first!.body)
    for (const each of receiver.received) {
      expect(each.headers['webhook-id']).toBe(id)
      new Webhook(secret).verify(each.body, each.headers as Record<string, string>)
    }
    const [delivery] = await listDeliveries(platform.db.sql, 'default', { event: id }, 10)
    await expect
      .poll(() => readDelivery(platform.db.sql, 'default', delivery!.id), soon)
      .toMatchObject({ status: 'completed' })
    expect(await getAttempts(platform.db.sql, 'default', delivery!.id)).toMatchObject([
      { outcome: 'failed', error: { reason: 'http_status', detail: { status: 500, body: 'not now' } } },
    ])
  })

  it('of how a job goes are for those who ask', async () => {
    const receiver = await startReceiver()
    const platform = await start(kind, receiver.host)
    const events = ['job.started', 'job.retrying', 'job.completed']
    await addEndpoint(platform.db.sql, { url: receiver.url, events, jobTypes: ['echo'] })
    await expect
      .poll(async () => (await platform.run('echo', { value: 1 })) && receiver.received.length, soon)
      .toBeGreaterThan(3)
    receiver.received.length = 0
    const { id } = await platform.run('echo', { value: 1, failTimes: 1 })
    const told = () =>
      receiver.received
        .map(({ body }) => JSON.parse(body) as { type: string; data: { id: string; sequence: number } })
        .filter(({ data }) => data.id === id)
        .toSorted((a, b) => a.data.sequence - b.data.sequence)
        .map(({ type }) => type)
    await expect.poll(told, soon).toEqual(['job.started', 'job.retrying', 'job.started', 'job.completed'])
  })

  it('of a job reach every endpoint once while several workers relay, be one of the receivers dead', async () => {
    const [one, two, dead] = [await startReceiver(), await startReceiver(), await startReceiver()]
    dead.answer = () => {}
    const platform = await start(kind, [one, two, dead].map(({ host }) => host).join(','), 3)
    for (const { url } of [one, two, dead]) await addEndpoint(platform.db.sql, { url, maxInFlight: 10 })
    const jobs = Array.from({ length: 200 }, (_, value) => ({ type: 'echo', input: { value } }))
    const { body } = await platform.call('POST', '/v1/jobs/batch', { jobs })
    const ids = new Set((body.items as { id: string }[]).map((item) => item.id))
    for (const { received } of [one, two]) {
      await expect.poll(() => received.length, soon).toBe(200)
      expect(new Set(received.map(({ headers }) => headers['webhook-id']))).toEqual(ids)
    }
    expect(dead.received.length).toBeLessThanOrEqual(10)
  })
})
