import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../../random.ts'
import type { RedisServer } from '../../stage/redis-server.ts'
import type { Fault } from '../fault.ts'

const beyondLeaseMs = 14_000

const fault = (name: string, harm: (redis: RedisServer, random: Random) => Promise<string>): Fault => ({
  name,
  carriers: ['redis'],
  inject: async ({ redis }, random) => (redis ? harm(redis, random) : ''),
})

/** What may happen to Redis. */
export const redisFaults: readonly Fault[] = [
  fault('Redis flushed', async (redis) => {
    await redis.command('FLUSHALL')
    return ''
  }),
  fault('Redis killed, comes back', async (redis, random) => restart(redis, random, 'kept')),
  fault('Redis killed, comes back empty', async (redis, random) => restart(redis, random, 'none')),
  fault('Redis killed, an old backup restored', async (redis, random) => {
    await redis.backUp()
    await delay(random.int(500, 3_000))
    return restart(redis, random, 'backup')
  }),
  fault('Redis stopped and continued', async (redis, random) => freeze(redis, random.int(500, 4_000))),
  fault('Redis stopped beyond the lease', async (redis) => freeze(redis, beyondLeaseMs)),
  fault('Redis out of memory', async (redis, random) => configured(redis, random, 'maxmemory', '1', '0')),
  fault('Redis evicts', async (redis, random) =>
    configured(redis, random, 'maxmemory-policy', 'allkeys-lru', 'noeviction'),
  ),
  fault('Redis only reads', async (redis, random) => {
    const ms = random.int(500, 4_000)
    await redis.command('REPLICAOF', '127.0.0.1', '1')
    await delay(ms)
    await redis.command('REPLICAOF', 'NO', 'ONE')
    return `for ${ms} ms`
  }),
  fault('Redis busy with a script', async (redis, random) => {
    const ms = random.int(500, 4_000)
    await redis.command('CONFIG', 'SET', 'busy-reply-threshold', '200').catch(() => {})
    const busy = redis.command('EVAL', 'while true do end', '0').catch(() => {})
    await delay(ms)
    await redis.command('SCRIPT', 'KILL')
    await busy
    return `for ${ms} ms`
  }),
  fault('Redis forgets its scripts', async (redis) => {
    await redis.command('SCRIPT', 'FLUSH')
    return ''
  }),
  fault('Redis wants a password', async (redis, random) => {
    const ms = random.int(500, 4_000)
    const password = 'rotated'
    await redis.command('CONFIG', 'SET', 'requirepass', password)
    await redis.command('CLIENT', 'KILL', 'TYPE', 'normal').catch(() => {})
    await delay(ms)
    await redis.commandAs(password, 'CONFIG', 'SET', 'requirepass', '')
    return `for ${ms} ms`
  }),
  fault('Redis drops its clients', async (redis) => {
    await redis.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    return ''
  }),
  fault('tickets lost', async (redis, random) => {
    const share = random.int(1, 100)
    const kept = `local n = redis.call('LLEN', KEYS[1]); redis.call('LTRIM', KEYS[1], math.floor(n * ${share} / 100), -1); return n`
    const keys = (await redis.command('KEYS', 'jobyard:*:wait')) as string[]
    for (const key of keys) await redis.command('EVAL', kept, '1', key)
    return `${share} of a hundred`
  }),
  fault('tickets reordered', async (redis) => {
    const turned = `local all = redis.call('LRANGE', KEYS[1], 0, -1); redis.call('DEL', KEYS[1]); for _, id in ipairs(all) do redis.call('LPUSH', KEYS[1], id) end return #all`
    const keys = (await redis.command('KEYS', 'jobyard:*:wait')) as string[]
    for (const key of keys) await redis.command('EVAL', turned, '1', key)
    return ''
  }),
]

async function restart(redis: RedisServer, random: Random, data: 'kept' | 'none' | 'backup'): Promise<string> {
  const ms = random.int(0, 3_000)
  await redis.down()
  await delay(ms)
  await redis.up(data)
  return `after ${ms} ms`
}

async function freeze(redis: RedisServer, ms: number): Promise<string> {
  redis.signal('SIGSTOP')
  await delay(ms)
  redis.signal('SIGCONT')
  return `for ${ms} ms`
}

async function configured(redis: RedisServer, random: Random, name: string, bad: string, good: string) {
  const ms = random.int(500, 5_000)
  await redis.command('CONFIG', 'SET', name, bad)
  await delay(ms)
  await redis.command('CONFIG', 'SET', name, good)
  return `for ${ms} ms`
}
