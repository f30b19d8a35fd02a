import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestRedis, type TestRedis } from '../../testing/redis.ts'
import { openCarrier, type Carrier } from '../carrier.ts'
import type { TokenStore } from './token-store.ts'

let redis: TestRedis
let client: Redis
const carriers: Carrier[] = []
const patient = { timeout: 15_000 }

async function openStore(): Promise<TokenStore> {
  const carrier = openCarrier({ redisUrl: redis.url, databaseUrl: 'postgres://unused', onError: () => {} })
  carriers.push(carrier)
  const store = carrier.openTokenStore()
  if (!store) throw new Error('Redis has room for buckets')
  await expect
    .poll(() => store.take('ready', { perMs: 1, burst: 1 }, 0, 0).catch(() => undefined), patient)
    .toBeDefined()
  return store
}

beforeAll(async () => {
  redis = await startTestRedis()
  client = new Redis(redis.url)
})
afterAll(async () => {
  await Promise.all(carriers.map((carrier) => carrier.close()))
  client.disconnect()
  await redis.stop()
})

it('gives what there is, nothing when that is less than the least, and tells when the bucket is full', async () => {
  const store = await openStore()
  const hourly = { perMs: 10 / 3_600_000, burst: 10 }
  expect(await store.take('a', hourly, 1, 4)).toMatchObject({ tokens: 4 })
  expect(await store.take('a', hourly, 7, 9)).toMatchObject({ tokens: 0 })
  const { tokens, fullInMs } = await store.take('a', hourly, 1, 9)
  expect(tokens).toBe(6)
  expect(fullInMs).toBeGreaterThan(3_590_000)
  expect(fullInMs).toBeLessThanOrEqual(3_600_000)
  expect(await store.take('b', hourly, 1, 4)).toMatchObject({ tokens: 4 })
})

it('gives several processes together no more than the limit, and no less', async () => {
  const stores = await Promise.all([openStore(), openStore(), openStore()])
  const limit = { perMs: 0.5, burst: 200 }
  const began = performance.now()
  let [given, first] = [0, 0]
  const greedy = async (store: TokenStore) => {
    while (performance.now() - began < 1_000) {
      const { tokens } = await store.take('shared', limit, 1, 7)
      first ||= performance.now()
      given += tokens
    }
  }
  await Promise.all(stores.map(greedy))
  const ms = performance.now() - began
  expect(given).toBeLessThanOrEqual(limit.burst + ms * limit.perMs)
  expect(given).toBeGreaterThan(limit.burst + (1_000 - (first - began)) * limit.perMs - 10)
})

it('forgets a bucket when it is full again', async () => {
  const store = await openStore()
  await store.take('brief', { perMs: 1, burst: 50 }, 1, 50)
  expect(await client.keys('*brief')).toEqual(['jobyard-limits:brief'])
  await expect.poll(() => client.keys('*brief'), patient).toEqual([])
})

it('fails at once while Redis is away, keeps nothing for later, and works when it is back', async () => {
  const store = await openStore()
  const { port } = redis
  await redis.stop()
  const take = () => store.take('c', { perMs: 1 / 3_600_000, burst: 5 }, 1, 1)
  await expect(take()).rejects.toThrow(/writeable|closed/)
  await expect(take()).rejects.toThrow(/writeable|closed/)
  redis = await startTestRedis({ port })
  await expect.poll(() => take().catch(() => undefined), patient).toMatchObject({ tokens: 1 })
  expect(await take()).toMatchObject({ tokens: 1 })
  expect(await store.take('c', { perMs: 1 / 3_600_000, burst: 5 }, 1, 5)).toMatchObject({ tokens: 3 })
})
