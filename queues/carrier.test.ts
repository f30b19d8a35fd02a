import { newId } from '@jobyard/db/ids'
import { createPostgresBackend, Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createDatabase, type TestDatabase } from '../testing/postgres.ts'
import { carrierKinds } from '../testing/platform.ts'
import { startTestRedis, type TestRedis } from '../testing/redis.ts'
import { openCarrier, priorityOf, type Carrier } from './carrier.ts'
import type { TicketWorker } from './carrier-backend.ts'

/** The queue `limited` as somebody else sees it who sets limits. */
const redisLimits = (url: string) => new Queue('limited', { prefix: 'jobyard', connection: { url } })
const postgresLimits = (connectionString: string) =>
  new Queue('limited', { connection: { connectionString, options: '-c search_path=bullmq' } }, createPostgresBackend)

describe.each(carrierKinds)('The carrier (%s)', (kind) => {
  let database: TestDatabase
  let redis: TestRedis | undefined
  let carrier: Carrier
  let worker: TicketWorker
  beforeAll(async () => {
    database = await createDatabase(inject('postgresAdminUrl'))
    redis = kind === 'redis' ? await startTestRedis() : undefined
    carrier = openCarrier({ databaseUrl: database.url, redisUrl: redis?.url, onError: () => {} })
    await carrier.migrate()
    await carrier.check()
    worker = await carrier.openWorker('q')
  })
  afterAll(async () => {
    await worker.close(true)
    await carrier.close()
    await redis?.stop()
    await database.drop()
  })

  const take = async () => {
    const ticket = await worker.getNextJob(newId(), { block: false })
    await ticket?.moveToCompleted(undefined, ticket.token ?? '', false)
    return ticket
  }
  const next = async () => (await take())?.data

  it('gives tickets out by priority, first come first served, those at the head of each before the others', async () => {
    const places = ['at the head', 'first', 'second']
    for (const priority of [9, 1, 0]) {
      for (const place of ['first', 'second', 'at the head']) {
        await carrier.add('q', [{ id: newId(), data: { ids: [place] }, priority, atHead: place === 'at the head' }])
      }
    }
    const order = []
    for (let ticket = await take(); ticket; ticket = await take()) order.push([priorityOf(ticket), ticket.data])
    expect(order).toEqual([0, 1, 9].flatMap((priority) => places.map((place) => [priority, { ids: [place] }])))
  })

  it.each([3, 100])('keeps the order of %d tickets that are added together', async (count) => {
    const sent = Array.from({ length: count }, (_, at) => ({ ids: [`${at}`] }))
    await carrier.add(
      'q',
      sent.map((data) => ({ id: newId(), data, priority: 0 })),
    )
    const order = []
    for (const _ of sent) order.push(await next())
    expect(order).toEqual(sent)
  })

  it('ignores a ticket whose id is on its way, and takes it again when it is gone', async () => {
    const probe = { id: 'probe-0', data: { probe: 'x', priority: 0 }, priority: 0 }
    await carrier.add('q', [probe])
    await carrier.add('q', [probe])
    expect(await next()).toEqual(probe.data)
    expect(await next()).toBeUndefined()
    await carrier.add('q', [probe])
    expect(await next()).toEqual(probe.data)
  })

  it('mirrors pauses', async () => {
    await carrier.setPaused('q', true)
    expect(await carrier.isPaused('q')).toBe(true)
    await carrier.add('q', [{ id: newId(), data: { ids: ['x'] }, priority: 0 }])
    expect(await next()).toBeUndefined()
    await carrier.setPaused('q', false)
    expect(await next()).toEqual({ ids: ['x'] })
  })

  it('says how long a rate limit lasts, however it is met, and gives out what has waited once it is over', async () => {
    const limited = await carrier.openWorker('limited')
    const limits = kind === 'redis' ? redisLimits(redis?.url ?? '') : postgresLimits(database.url)
    await limits.setGlobalRateLimit(1, 20_000)
    await carrier.add(
      'limited',
      [1, 2].map((n) => ({ id: newId(), data: { ids: [`${n}`] }, priority: 0 })),
    )
    const fetch = () => limited.getNextJob(newId(), { block: true })
    const first = await fetch()
    expect([first?.data, limited.limitedForMs]).toEqual([{ ids: ['1'] }, 0])
    expect(await limited.acknowledge(first!, true)).toBeUndefined()
    expect(limited.limitedForMs).toBeGreaterThan(10_000)
    expect(await fetch()).toBeUndefined()
    expect(limited.limitedForMs).toBeGreaterThan(10_000)
    await limits.removeGlobalRateLimit()
    expect((await fetch())?.data).toEqual({ ids: ['2'] })
    expect(limited.limitedForMs).toBe(0)
    await limits.close()
    await limited.close(true)
  }, 4_000) // less than the time for which a fetch blocks

  it('answers a ping', async () => {
    await expect(carrier.ping()).resolves.toBeUndefined()
  })
})

it.each([
  ['is full', ['maxmemory', '1'], ['maxmemory', '0']],
  ['has nobody to copy to', ['min-replicas-to-write', '1'], ['min-replicas-to-write', '0']],
] as const)('A Redis that %s does not answer pings', async (_what, trouble, remedy) => {
  const redis = await startTestRedis()
  const admin = new Redis(redis.url)
  const carrier = openCarrier({ databaseUrl: 'postgres://unused', redisUrl: redis.url, onError: () => {} })
  await carrier.ping()
  await admin.config('SET', ...trouble)
  await expect(carrier.ping()).rejects.toThrow(/OOM|NOREPLICAS/)
  await admin.config('SET', ...remedy)
  await carrier.ping()
  admin.disconnect()
  await carrier.close()
  await redis.stop()
})

it('Redis that evicts is refused, with the remedy', async () => {
  const redis = await startTestRedis()
  const admin = new Redis(redis.url)
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
  admin.disconnect()
  const carrier = openCarrier({ databaseUrl: 'postgres://unused', redisUrl: redis.url, onError: () => {} })
  await expect(carrier.check()).rejects.toThrow(/allkeys-lru.*noeviction/s)
  await carrier.close()
  await redis.stop()
})
