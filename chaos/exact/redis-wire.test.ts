import { startTestRedis, type TestRedis } from '@jobyard/testing/redis'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { type Fault, type FaultKind } from './fault.ts'
import { CommandLabels } from './labels.ts'
import { nameOf, startRedisWire } from './redis-wire.ts'
import type { Wire } from './wire.ts'

let redis: TestRedis
let direct: Redis
let wire: Wire
let client: Redis
/** The fault that happens to the next call that has a command of this name. */
let next: { readonly name: string; readonly fault: Fault } | undefined

beforeAll(async () => {
  redis = await startTestRedis()
  direct = new Redis(redis.url)
})
afterAll(async () => {
  direct.disconnect()
  await redis.stop()
})
beforeEach(async () => {
  await direct.flushall()
  wire = await startRedisWire(redis.url, (call) => {
    if (!next || !call.some((command) => nameOf(command) === next?.name)) return undefined
    const { fault } = next
    next = undefined
    return fault
  })
  client = new Redis(wire.url, { retryStrategy: () => null, autoResendUnfulfilledCommands: false })
  client.on('error', () => {})
  await client.ping()
})
afterEach(() => {
  client.disconnect()
  wire.close()
})

function arm(name: string, kind: FaultKind, error = 'LOADING', wait = async () => {}): Promise<void> {
  return new Promise((resolve) => (next = { name, fault: { kind, error, wait, done: resolve } }))
}

it('Commands without a fault pass, whatever their answers look like', async () => {
  await client.hset('hash', { a: '1', b: '2' })
  await client.zadd('sorted', '1', 'one', '2.5', 'two')
  expect(await client.hgetall('hash')).toEqual({ a: '1', b: '2' })
  expect(await client.zrange('sorted', '0', '-1', 'WITHSCORES')).toEqual(['one', '1', 'two', '2.5'])
  expect(await client.get('nothing')).toBeNull()
  expect(await client.eval('return {1, {"two", false}, redis.status_reply("three")}', 0)).toEqual([
    1,
    ['two', null],
    'three',
  ])
  await expect(client.incr('hash')).rejects.toThrow('WRONGTYPE')
  expect(await client.info('server')).toContain('redis_version')
})

it.each([
  ['failed before', null],
  ['executed, then failed', '1'],
] as const)('A command with the fault "%s" leaves %s', async (kind, left) => {
  void arm('INCR', kind, 'OOM')
  await expect(client.incr('n')).rejects.toThrow('OOM')
  expect(await client.get('n')).toBe(left)
})

it.each([
  ['connection lost before', null],
  ['connection lost after', '1'],
] as const)('A command with the fault "%s" leaves %s', async (kind, left) => {
  void arm('INCR', kind)
  await expect(client.incr('n')).rejects.toThrow(/closed/i)
  expect(await direct.get('n')).toBe(left)
})

it('A command that is delayed happens when it may', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const held = new Promise<void>((isHeld) => {
    void arm('INCR', 'delayed', '', () => {
      isHeld()
      return promise
    })
  })
  const answered = client.incr('n')
  await held
  expect(await direct.get('n')).toBeNull()
  resolve()
  expect(await answered).toBe(1)
})

it('A command that is doubled is answered once', async () => {
  const over = arm('INCR', 'doubled')
  expect(await client.incr('n')).toBe(1)
  await over
  expect(await client.get('n')).toBe('2')
})

it.each([
  ['failed before', null],
  ['executed, then failed', '2'],
] as const)('A block with the fault "%s" leaves %s', async (kind, left) => {
  void arm('EXEC', kind, 'EXECABORT')
  await expect(client.multi().incr('n').incr('n').exec()).rejects.toThrow('EXECABORT')
  expect(await client.get('n')).toBe(left)
})

it('A block that is doubled is answered once', async () => {
  const over = arm('EXEC', 'doubled')
  expect(await client.multi().incr('n').incr('n').exec()).toEqual([
    [null, 1],
    [null, 2],
  ])
  await over
  expect(await client.get('n')).toBe('4')
})

it('Of many commands on their way at once, only the one fails that has the fault', async () => {
  void arm('GET', 'failed before')
  const results = await Promise.allSettled([
    ...Array.from({ length: 20 }, () => client.incr('n')),
    client.get('n'),
    ...Array.from({ length: 20 }, () => client.incr('n')),
  ])
  expect(results.flatMap((result, at) => (result.status === 'rejected' ? [at] : []))).toEqual([20])
  expect(results.at(-1)).toEqual({ status: 'fulfilled', value: 40 })
})

it('A command that blocks is answered when there is something', async () => {
  const popped = client.bzpopmin('sorted', 0)
  await direct.zadd('sorted', 1, 'one')
  expect(await popped).toEqual(['sorted', 'one', '1'])
})

it('A script is known by its text from when it was first told', () => {
  const labels = new CommandLabels()
  const call = (...words: string[]) => [words.map((word) => Buffer.from(word))]
  const sha = '2a1ca5c9f3a6ee67a7b5d2aee1fa5d1ee3d0d3d6'
  expect(labels.labelOf(call('evalsha', sha, '0'))).toBe('script')
  expect(labels.labelOf(call('eval', '--[[\n  Adds a job to the queue by doing', '0'))).toBe('add')
  expect(
    labels.labelOf([...call('multi'), ...call('eval', '--[[\n  Move stalled jobs to wait.', '0'), ...call('exec')]),
  ).toBe('find-stalled-bulk')
})
