import type { IncomingMessage, ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import { readForDelivery } from '@jobyard/db/endpoint-health'
import { expect, it, onTestFinished } from 'vitest'
import { addEndpoint } from '../testing/endpoints.ts'
import { startPlatform } from '../testing/platform.ts'
import { startReceiver, type Receiver } from '../testing/receiver.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

function forEver(response: ServerResponse, chunk: string | Buffer, everyMs: number): void {
  const timer = setInterval(() => void (response.destroyed ? clearInterval(timer) : response.write(chunk)), everyMs)
}

const bomb = gzipSync(Buffer.alloc(10_000_000))

const hostile: Record<string, Answer> = {
  'black hole': () => {},
  'one byte a second': (_, response) => forEver(response.writeHead(200), 'x', 1_000),
  'endless body': (_, response) => forEver(response.writeHead(200), 'x'.repeat(16_384), 1),
  'gzip bomb': (_, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
  'ten thousand headers': (_, response) => {
    for (let n = 0; n < 10_000; n++) response.setHeader(`x-${n}`, 'y')
    response.end()
  },
  'headers without end': ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const timer = setInterval(() => void (socket.destroyed ? clearInterval(timer) : socket.write('x-a: b\r\n')), 100)
  },
  'a redirect': (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
  'a reset': ({ socket }) => socket.resetAndDestroy(),
  'not HTTP': ({ socket }) => void socket.end('220 smtp ready\r\n'),
  gone: (_, response) => void response.writeHead(410).end(),
  'too many': (_, response) => void response.writeHead(429, { 'retry-after': '3600' }).end(),
}
/** Those that take the event, for all their oddity. */
const takers = new Set(['endless body', 'gzip bomb'])
const jobs = 300

it('Receivers of every kind cost the healthy ones nothing', async () => {
  const open = async (answer?: Answer): Promise<Receiver> => {
    const receiver = await startReceiver()
    if (answer) receiver.answer = answer
    return receiver
  }
  const healthy = [await open(), await open()]
  const bad = await Promise.all(
    Object.entries(hostile).map(async ([name, answer]) => ({ name, at: await open(answer) })),
  )
  const outboundAllow = [...healthy, ...bad.map(({ at }) => at)].map(({ host }) => host).join(',')
  const platform = await startPlatform('redis', { outboundAllow, concurrency: 20 })
  onTestFinished(() => platform.stop())
  const { sql } = platform.db
  for (const { url } of healthy) await addEndpoint(sql, { url, maxInFlight: 50 })
  const endpoints = new Map<string, string>()
  for (const { name, at } of bad)
    endpoints.set(name, (await addEndpoint(sql, { url: at.url, maxInFlight: 50 })).endpoint.id)
  const batch = Array.from({ length: jobs }, (_, value) => ({ type: 'echo', input: { value } }))
  await platform.call('POST', '/v1/jobs/batch', { jobs: batch })
  const counts = () => healthy.map(({ received }) => new Set(received.map(({ headers }) => headers['webhook-id'])).size)
  await expect.poll(counts, { timeout: 12_000 }).toEqual(healthy.map(() => jobs)) // before the first black hole has timed out
  const health = async (name: string) => (await readForDelivery(sql, endpoints.get(name) ?? ''))!
  await expect.poll(async () => (await health('black hole')).failures, { timeout: 20_000 }).toBeGreaterThan(0)
  expect(await health('gone')).toMatchObject({ disabledReason: 'gone' })
  expect((await health('too many')).openForMs).toBeGreaterThan(3_000_000)
  for (const { name, at } of bad) {
    if (!takers.has(name)) expect([name, at.received.length < 20]).toEqual([name, true])
    const hasFailed = async () => {
      const { failures, disabledAt } = await health(name)
      return [name, failures > 0 || disabledAt !== null]
    }
    await expect.poll(hasFailed, { timeout: 5_000 }).toEqual([name, !takers.has(name)])
  }
}, 60_000)
