import { newId } from '@jobyard/db/ids'
import { Webhook } from 'standardwebhooks'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { secretOfTests } from '../../testing/endpoints.ts'
import { startPlatform, type Platform } from '../../testing/platform.ts'
import { startReceiver, type Received, type Receiver } from '../../testing/receiver.ts'
import { Cursors } from '../cursor.ts'

/** For machines that run all tests at once. */
const patient = { timeout: 10_000 }

let receiver: Receiver
let platform: Platform
beforeAll(async () => {
  platform = await startPlatform('postgres', { outboundAllow: '127.0.0.1' })
})
beforeEach(async () => {
  receiver = await startReceiver()
  receiver.answer = { status: 200, body: 'thank you' }
})
afterEach(() => platform.db.sql`delete from endpoints`)
afterAll(() => platform.stop())
const call: Platform['call'] = (...args) => platform.call(...args)
const create = async (more: object = {}) => (await call('POST', '/v1/endpoints', { url: receiver.url, ...more })).body
const read = async (id: string) => (await call('GET', `/v1/deliveries/${id}`)).body
const list = async (query: string) => (await call('GET', `/v1/deliveries?${query}`)).body.items
const verify = (secret: string, { headers, body }: Received) =>
  new Webhook(secret).verify(body, headers as Record<string, string>)

async function deliveredOf(endpoint: string, eventId: string): Promise<any> {
  await expect
    .poll(() => list(`endpoint=${endpoint}&event=${eventId}&status=completed`), { timeout: 10_000 })
    .toHaveLength(1)
  const [{ id }] = await list(`endpoint=${endpoint}&event=${eventId}`)
  return read(id)
}

describe('A test event', () => {
  it('is sent at once, signed, and its delivery tells what was answered', async () => {
    const { id, secret } = await create({ headers: { 'x-key': 'k' } })
    const { status, headers, body } = await call('POST', `/v1/endpoints/${id}/test`)
    expect(status).toBe(202)
    expect(headers['location']).toBe(`/v1/deliveries/${body.id}`)
    expect(body).toMatchObject({ endpointId: id, eventType: 'endpoint.test', attempts: [] })
    expect(body).not.toHaveProperty('position')
    await expect.poll(async () => (await read(body.id)).status, patient).toBe('completed')
    expect((await read(body.id)).attempts).toEqual([
      {
        attempt: 1,
        outcome: 'completed',
        startedAt: expect.any(String),
        finishedAt: expect.any(String),
        httpStatus: 200,
        latencyMs: expect.any(Number),
        response: 'thank you',
      },
    ])
    const [request] = receiver.received
    expect(request?.headers).toMatchObject({ 'webhook-id': body.eventId, 'x-key': 'k' })
    expect(verify(secret, request!)).toEqual({
      type: 'endpoint.test',
      version: 1,
      timestamp: expect.any(String),
      data: { id },
    })
  })

  it('that fails shows status and answer, and is tried again', async () => {
    receiver.answer = { status: 500, body: 'no, sorry' }
    const { id } = await create()
    const { body } = await call('POST', `/v1/endpoints/${id}/test`)
    await expect.poll(async () => (await read(body.id)).attempts.length, patient).toBe(1)
    expect(await read(body.id)).toMatchObject({
      status: 'retrying',
      nextAttemptAt: expect.any(String),
      error: { reason: 'http_status', message: 'The receiver answered 500' },
      attempts: [{ outcome: 'failed', httpStatus: 500, latencyMs: expect.any(Number), response: 'no, sorry' }],
    })
    expect((await call('GET', `/v1/endpoints/${id}`)).body).toMatchObject({
      failures: 1,
      failingSince: expect.any(String),
    })
  })
})

it('Tests are refused while five are under way', async () => {
  const { id } = await create()
  const { sql } = platform.db
  const test = () => call('POST', `/v1/endpoints/${id}/test`)
  const statuses: number[] = []
  for (let count = 0; count < 5; count++) statuses.push((await test()).status)
  await expect.poll(() => list(`endpoint=${id}&status=completed`), patient).toHaveLength(5)
  await sql`
    update jobs set status = 'running', finished_at = null, worker_id = ${newId()} where id in (select job_id from deliveries where endpoint_id = ${id})`
  const refused = await test()
  expect([...statuses, refused.status]).toEqual([202, 202, 202, 202, 202, 429])
  expect(refused.headers['retry-after']).toBe('5')
})

describe('Deliveries', () => {
  it('bring the ends of jobs, and are listed', async () => {
    const { id, secret } = await create()
    const job = await platform.run('echo', { value: 1 })
    const delivery = await deliveredOf(id, job.id)
    expect(delivery).toMatchObject({ eventId: job.id, eventType: 'job.completed', position: expect.any(Number) })
    expect(verify(secret, receiver.received[0]!)).toMatchObject({ data: { id: job.id, status: 'completed' } })
    expect(await list(`endpoint=${id}&eventType=job.completed`)).toHaveLength(1)
    expect(await list(`endpoint=${id}&eventType=job.failed`)).toHaveLength(0)
    expect(await list(`endpoint=${newId()}`)).toHaveLength(0)
    expect(await list('endpoint=none')).toHaveLength(0)
    expect((await list(`endpoint=${id}`))[0]).not.toHaveProperty('attempts')
  })

  it('are listed page by page', async () => {
    const { id } = await create()
    for (let count = 0; count < 3; count++) await call('POST', `/v1/endpoints/${id}/test`)
    const first = (await call('GET', `/v1/deliveries?endpoint=${id}&limit=2`)).body
    expect(await list(`endpoint=${id}&eventType=endpoint.test`)).toHaveLength(3)
    const second = (await call('GET', `/v1/deliveries?endpoint=${id}&limit=2&cursor=${first.nextCursor}`)).body
    expect([first.items.length, second.items.length, second.nextCursor]).toEqual([2, 1, undefined])
  })

  it.each(['limit=0', 'status=done', 'other=1', 'eventType=x'])('are not listed by ?%s', async (query) => {
    expect((await call('GET', `/v1/deliveries?${query}`)).status).toBe(422)
  })

  it('of others, or that are none, are not there', async () => {
    const { id } = await create()
    const { body } = await call('POST', `/v1/endpoints/${id}/test`)
    await platform.db.sql`update deliveries set tenant = 'theirs' where job_id = ${body.id}`
    for (const any of [body.id, newId(), 'x', '%00']) {
      expect((await call('GET', `/v1/deliveries/${any}`)).status).toBe(404)
      expect((await call('POST', `/v1/deliveries/${any}/redeliver`)).status).toBe(404)
    }
    expect(await list('limit=200')).not.toContainEqual(expect.objectContaining({ id: body.id }))
  })
})

describe('Redelivering', () => {
  it('sends the same event again, as a new delivery', async () => {
    const { id, secret } = await create()
    const job = await platform.run('echo', { value: 1 })
    const delivery = await deliveredOf(id, job.id)
    const { status, body } = await call('POST', `/v1/deliveries/${delivery.id}/redeliver`)
    expect([status, body.redeliveryOf, body.eventId]).toEqual([202, delivery.id, job.id])
    await expect.poll(async () => (await read(body.id)).status, patient).toBe('completed')
    const [first, second] = receiver.received
    expect(second?.body).toBe(first?.body)
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id'])
    verify(secret, second!)
  })

  it('is refused while the delivery goes on, or its endpoint takes nothing', async () => {
    receiver.answer = { status: 503 }
    const { id } = await create()
    const { body } = await call('POST', `/v1/endpoints/${id}/test`)
    const going = await call('POST', `/v1/deliveries/${body.id}/redeliver`)
    expect([going.status, going.body.detail]).toEqual([409, expect.stringContaining('has not ended')])
    receiver.answer = { status: 200 }
    const job = await platform.run('echo', { value: 1 })
    const delivery = await deliveredOf(id, job.id)
    await call('POST', `/v1/endpoints/${id}/disable`)
    const refused = await call('POST', `/v1/deliveries/${delivery.id}/redeliver`)
    expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining('disabled or deleted')])
  })

  it('of many counts first, and then sends those that fit', async () => {
    receiver.answer = { status: 410 }
    const since = new Date(Date.now() - 1_000).toISOString()
    const { id } = await create()
    const { body } = await call('POST', `/v1/endpoints/${id}/test`)
    await expect.poll(async () => (await read(body.id)).status, patient).toBe('failed')
    expect((await call('GET', `/v1/endpoints/${id}`)).body.disabledReason).toBe('gone')
    const wanted = { endpoint: id, status: 'failed', since }
    const many = (more: object) => call('POST', '/v1/deliveries/redeliver', { ...wanted, ...more })
    expect(await many({ dryRun: true })).toMatchObject({ status: 200, body: { deliveries: 0 } })
    expect((await many({})).body).toEqual({ deliveries: 0 })
    receiver.answer = { status: 200 }
    await call('POST', `/v1/endpoints/${id}/enable`)
    expect(await many({ dryRun: true })).toMatchObject({ status: 200, body: { deliveries: 1 } })
    expect(await many({})).toMatchObject({ status: 202, body: { deliveries: 1 } })
    await expect.poll(() => list(`endpoint=${id}&status=completed`), patient).toHaveLength(1)
    const later = new Date(Date.now() + 60_000).toISOString()
    expect((await many({ since: later, dryRun: true })).body.deliveries).toBe(0)
    expect((await many({ endpoint: 'none' })).body.deliveries).toBe(0)
    expect((await many({ since: 'yesterday' })).status).toBe(422)
    expect((await many({ cursor: 'x' })).body.type).toContain('invalid-cursor')
    const cursorOf = (deed: string) => new Cursors(secretOfTests).seal(`${deed}/0/${newId()}`)
    expect((await many({ cursor: cursorOf('counted') })).body.type).toContain('invalid-cursor')
    expect((await many({ cursor: cursorOf('counted'), dryRun: true })).status).toBe(200)
    expect((await many({ cursor: cursorOf('made'), dryRun: true })).body.type).toContain('invalid-cursor')
    expect((await many({ cursor: cursorOf('made') })).status).toBe(202)
  })
})

it('Redelivering many is spread over time, and a second call leaves out what the first has made', async () => {
  const since = new Date(Date.now() - 1_000).toISOString()
  const { id } = await create()
  for (let count = 0; count < 3; count++) await call('POST', `/v1/endpoints/${id}/test`)
  await expect.poll(() => list(`endpoint=${id}&status=completed`), patient).toHaveLength(3)
  await platform.db
    .sql`update jobs set status = 'failed' where id in (select job_id from deliveries where endpoint_id = ${id})`
  const many = (more = {}) => call('POST', '/v1/deliveries/redeliver', { endpoint: id, since, perSecond: 1, ...more })
  expect((await many()).body).toEqual({ deliveries: 3 })
  const due = (await list(`endpoint=${id}&status=scheduled`)).map((each: any) => Date.parse(each.nextAttemptAt))
  expect(due).toHaveLength(2)
  expect(Math.abs(due[0] - due[1])).toBe(1_000)
  expect((await many({ dryRun: true })).body).toEqual({ deliveries: 0 })
  expect((await many()).body).toEqual({ deliveries: 0 })
})

it('A delivery is not redriven as a job: its endpoint’s log would not tell of it', async () => {
  const { id } = await create()
  const { body } = await call('POST', `/v1/endpoints/${id}/test`)
  await expect.poll(async () => (await read(body.id)).status, patient).toBe('completed')
  await platform.db.sql`update jobs set status = 'failed' where id = ${body.id}`
  const refused = await call('POST', `/v1/jobs/${body.id}/redrive`)
  expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining(`/v1/deliveries/${body.id}/`)])
})

describe('A replay', () => {
  it('counts what an endpoint has missed, and sends it with the ids of the first time', async () => {
    const since = new Date().toISOString()
    const missed = await Promise.all([1, 2, 3].map((value) => platform.run('echo', { value })))
    const { sql } = platform.db
    await expect
      .poll(async () => (await sql`select 1 from endings where position is null and events > 0`).length)
      .toBe(0)
    const { id } = await create()
    const dry = await call('POST', `/v1/endpoints/${id}/replay`, { since, dryRun: true })
    expect(dry).toMatchObject({ status: 200, body: { complete: true, endpoint: { id } } })
    expect(dry.body.events).toBeGreaterThanOrEqual(3)
    const { status, body } = await call('POST', `/v1/endpoints/${id}/replay`, { since, perSecond: 1_000 })
    expect(status).toBe(202)
    expect(body.endpoint.replay).toMatchObject({ perSecond: 1_000, until: body.endpoint.position })
    const got = () => new Set(receiver.received.map(({ headers }) => headers['webhook-id']))
    await expect.poll(() => missed.every((job) => got().has(job.id)), { timeout: 15_000 }).toBe(true)
    await expect.poll(async () => (await call('GET', `/v1/endpoints/${id}`)).body.replay, patient).toBeUndefined()
  })

  it('of an endpoint that is disabled counts what it has missed since', async () => {
    const { id } = await create()
    const count = async () => {
      const body = { since: '2020-01-01T00:00:00Z', dryRun: true }
      return (await call('POST', `/v1/endpoints/${id}/replay`, body)).body.events as number
    }
    await call('POST', `/v1/endpoints/${id}/disable`)
    const before = await count()
    await platform.run('echo', { value: 1 })
    await expect.poll(count, patient).toBe(before + 1)
  })

  it('of a time before anything happened sends nothing', async () => {
    const { id } = await create()
    const body = { since: '2020-01-01T00:00:00Z', until: '2020-01-02T00:00:00Z' }
    expect((await call('POST', `/v1/endpoints/${id}/replay`, { ...body, dryRun: true })).body.events).toBe(0)
    expect((await call('POST', `/v1/endpoints/${id}/replay`, body)).body.endpoint).not.toHaveProperty('replay')
    const backwards = { since: body.until, until: body.since }
    expect((await call('POST', `/v1/endpoints/${id}/replay`, backwards)).body.errors).toMatchObject([{ path: 'until' }])
    expect((await call('POST', `/v1/endpoints/${id}/replay`, { since: 'x' })).status).toBe(422)
    expect((await call('POST', `/v1/endpoints/${id}/replay`, {})).status).toBe(422)
  })
})
