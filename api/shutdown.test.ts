import { once } from 'node:events'
import { connect as connectSocket, createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, expect, it, onTestFinished } from 'vitest'
import { callApi, openProcessPlatform, type ProcessPlatform } from '../testing/processes.ts'
import { openEventStream } from '../testing/event-stream.ts'
import { adminKey } from '../testing/platform.ts'

let platform: ProcessPlatform
afterEach(() => platform.stop())

const later = { type: 'echo', input: { value: 1 } }

it('A body that is never sent to its end does not keep the API from stopping', async () => {
  platform = await openProcessPlatform('postgres')
  const api = await platform.start('api', { SHUTDOWN_GRACE_MS: '200' })
  const client = connectSocket(Number(new URL(api.url!).port), '127.0.0.1')
  const head = `POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${adminKey}\r\ncontent-type: application/json\r\n`
  client.write(`${head}expect: 100-continue\r\ncontent-length: 100\r\n\r\n{`)
  await once(client, 'data')
  const [code] = await Promise.all([api.stop(), once(client, 'close')])
  expect(code).toBe(0)
})

it('Who waits for a job gets it as it is when the API drains', async () => {
  platform = await openProcessPlatform('postgres')
  const api = await platform.start('api', { SHUTDOWN_GRACE_MS: '600000' })
  const waiting = callApi(api.url!, 'POST', '/v1/jobs', later, { prefer: 'wait=60' })
  await expect.poll(async () => (await platform.db.sql`select 1 from jobs`).length).toBe(1)
  const [code, { status, body }] = await Promise.all([api.stop(), waiting])
  expect({ code, status, body }).toMatchObject({ code: 0, status: 202, body: { status: 'queued' } })
})

it('Who follows a stream is told where to go on when the API drains, and holds it up no longer than it takes to say so', async () => {
  platform = await openProcessPlatform('postgres')
  const api = await platform.start('api', { SHUTDOWN_GRACE_MS: '600000' })
  const port = Number(new URL(api.url!).port)
  const streams = await Promise.all([openEventStream(port, '/v1/events'), openEventStream(port, '/v1/events')])
  const since = performance.now()
  expect(await api.stop()).toBe(0)
  expect(performance.now() - since).toBeLessThan(4_000)
  for (const { messages } of streams) expect(messages).toMatchObject([{ id: '0', event: 'end', data: { position: 0 } }])
})

it.each([
  ['reads', 'GET', 0],
  ['submits', 'POST', 1],
] as const)(
  'A frozen Postgres does not keep the API from stopping while a client %s',
  async (_what, method, expected) => {
    platform = await openProcessPlatform('postgres')
    const relay = await openRelay(platform.databaseUrl)
    const api = await platform.start('api', { DATABASE_URL: relay.url, SHUTDOWN_GRACE_MS: '100' })
    expect((await callApi(api.url!, 'POST', '/v1/jobs', later)).status).toBe(202)
    await expect.poll(async () => (await platform.db.sql`select 1 from bullmq.job`).length).toBe(1)
    relay.freeze()
    const cut = callApi(api.url!, method, '/v1/jobs', method === 'POST' ? later : undefined).catch(() => 'cut')
    await relay.held()
    expect(await api.stop()).toBe(expected)
    expect(await cut).toBe('cut')
  },
)

/** Stands between the platform and Postgres, and can fall silent without closing anything. */
async function openRelay(databaseUrl: string) {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  const held = Promise.withResolvers<void>()
  let frozen = false
  const server = createServer((client) => {
    const upstream = connectSocket(Number(target.port), target.hostname)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('data', (chunk: Buffer) => (frozen ? held.resolve() : to.write(chunk)))
      from.on('error', () => {})
      from.on('close', () => to.destroy())
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const url = new URL(databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    freeze: () => {
      frozen = true
    },
    /** Resolves when something was said to the frozen server. */
    held: () => held.promise,
  }
}
