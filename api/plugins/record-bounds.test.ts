import { newId } from '@jobyard/db/ids'
import { connect } from '@jobyard/db/connect'
import { expect, it, onTestFinished } from 'vitest'
import { listenOn } from '../../testing/listening-api.ts'
import { adminKey } from '../../testing/platform.ts'
import { openRecord } from '../../testing/record.ts'
import { startTcpProxy } from '../../testing/tcp-proxy.ts'

const recordTimeoutMs = 1_000
const hello = { type: 'echo', input: { value: 1 } }
const id = newId()
/** Every kind of route that asks the record. */
const asking: [method: 'GET' | 'POST' | 'PUT', path: string, body?: object][] = [
  ['GET', '/v1/jobs'],
  ['GET', `/v1/jobs/${id}`],
  ['POST', '/v1/jobs', hello],
  ['POST', `/v1/jobs/${id}/cancel`],
  ['POST', `/v1/jobs/${id}/redrive`],
  ['GET', '/v1/endpoints'],
  ['POST', '/v1/endpoints', { url: 'https://receiver.example/' }],
  ['POST', `/v1/endpoints/${id}/test`],
  ['GET', `/v1/deliveries/${id}`],
  ['POST', `/v1/deliveries/${id}/redeliver`],
  ['GET', '/v1/events'],
  ['GET', `/v1/jobs/${id}/events`],
  ['GET', '/v1/queues'],
  ['GET', '/v1/queues/default'],
  ['POST', '/v1/queues/default/pause'],
  ['GET', '/board/api/queues'],
  ['GET', `/board/api/queues/default/${id}`],
  ['PUT', '/board/api/queues/default/pause'],
]
const rest = ['/livez', '/v1/job-types', '/openapi.json', '/board/']

/** An API whose network to Postgres can be frozen. */
async function openApi() {
  const record = await openRecord()
  const network = await startTcpProxy(record.url)
  const db = connect(network.url, { applicationName: 'bounded', silentMs: 1_500 })
  onTestFinished(async () => {
    await db.close()
    network.close()
    await record.close()
  })
  const { app } = await listenOn(db, record.url, { recordTimeoutMs })
  const call = async (method: 'GET' | 'POST' | 'PUT', url: string, payload?: object, headers = {}) => {
    const scheme = url.startsWith('/board')
      ? `Basic ${Buffer.from(`me:${adminKey}`).toString('base64')}`
      : `Bearer ${adminKey}`
    const since = performance.now()
    const answer = await app.inject({
      method,
      url,
      headers: { authorization: scheme, ...headers },
      ...(payload && { payload }),
    })
    return { answer, status: answer.statusCode, afterMs: performance.now() - since }
  }
  return { network, call, sql: record.sql }
}

it('Every route that asks Postgres answers in time while it is silent, then at once, and works when it is back', async () => {
  const { network, call } = await openApi()
  expect((await call('POST', '/v1/jobs', hello)).status).toBe(202)
  network.freeze()

  const first = await Promise.all(asking.map(([...words]) => call(...words)))
  expect(first.map(({ status }) => status)).toEqual(asking.map(() => 503))
  expect(Math.max(...first.map(({ afterMs }) => afterMs))).toBeLessThan(recordTimeoutMs + 500)
  await expect.poll(async () => (await call('GET', '/v1/queues')).afterMs).toBeLessThan(50)

  const refused = await Promise.all(asking.map(([...words]) => call(...words)))
  expect(refused.map(({ status }) => status)).toEqual(asking.map(() => 503))
  expect(Math.max(...refused.map(({ afterMs }) => afterMs))).toBeLessThan(200)
  expect(refused[0]?.answer.headers['retry-after']).toBe('1')
  const others = await Promise.all(rest.map((path) => call('GET', path)))
  expect(others.map(({ status }) => status)).toEqual(rest.map(() => 200))
  expect((await call('GET', '/readyz')).answer.json()).toMatchObject({ status: 'unavailable', postgres: 'down' })

  network.thaw()
  await expect.poll(async () => (await call('GET', '/readyz')).status, { timeout: 20_000 }).toBe(200)
  expect((await call('POST', '/v1/jobs', hello)).status).toBe(202)
})

it('Who waits for a job gets it as it was accepted when Postgres falls silent', async () => {
  const { network, call, sql } = await openApi()
  const waiting = call('POST', '/v1/jobs', hello, { prefer: 'wait=2' })
  await expect.poll(async () => (await sql`select 1 from jobs`).length).toBe(1)
  network.freeze()
  const { status, answer } = await waiting
  expect(status).toBe(202)
  expect(answer.json()).toMatchObject({ status: 'queued', input: hello.input })
})
