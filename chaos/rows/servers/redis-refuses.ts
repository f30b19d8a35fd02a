import { setTimeout as delay } from 'node:timers/promises'
import type { RedisServer } from '../../stage/redis-server.ts'
import { until } from '../../until.ts'
import type { Trial } from '../trial.ts'
import { expectAccepting, startClient } from './redis-away.ts'

const forMs = 2_000

/** What Redis may answer instead of doing what it is asked. Each lasts a few seconds, and is ended. */
const refusals: readonly (readonly [string, (redis: RedisServer, during: () => Promise<void>) => Promise<void>])[] = [
  ['READONLY', readOnly],
  ['LOADING', loading],
  ['BUSY', busy],
  ['NOSCRIPT', withoutScripts],
  ['NOAUTH', wantingPassword],
]

export const redisRefuses: readonly Trial[] = refusals.map(([answer, refuse]) => ({
  row: 13,
  name: `Redis answers ${answer}`,
  carriers: ['redis'],
  run: async (context) => {
    const stage = await context.stage({ apis: 1, workers: 1 })
    const { redis } = stage
    if (!redis) return
    await startClient(context, stage)
    await refuse(redis, async () => {
      context.injected(`Redis answers ${answer}`)
      await expectAccepting(context, forMs, `while Redis answers ${answer}`)
    })
    await context.ledger.accepts(200)
    await context.endWell(stage)
  },
}))

async function readOnly(redis: RedisServer, during: () => Promise<void>): Promise<void> {
  await redis.command('REPLICAOF', '127.0.0.1', '1')
  await during()
  await redis.command('REPLICAOF', 'NO', 'ONE')
}

/** Redis reads its data slowly at its start, and says so whenever it has read a little. */
async function loading(redis: RedisServer, during: () => Promise<void>): Promise<void> {
  await redis.command('EVAL', fill, '0')
  await redis.command('BGREWRITEAOF')
  await until('the file is rewritten', async () => /aof_rewrite_in_progress:0/.test(await persistence(redis)))
  await redis.down()
  const up = redis.up('kept', ['--key-load-delay', '8000', '--loading-process-events-interval-bytes', '1024'])
  await until('Redis says LOADING', () => redis.command('PING').then(undefined, isLoading))
  await during()
  await up
}

const fill = `for i = 1, 500 do redis.call('SET', 'filler:' .. i, string.rep('x', 2000)) end`
const isLoading = (error: unknown) => String(error).includes('LOADING')
const persistence = async (redis: RedisServer) => String(await redis.command('INFO', 'persistence'))

async function busy(redis: RedisServer, during: () => Promise<void>): Promise<void> {
  await redis.command('CONFIG', 'SET', 'busy-reply-threshold', '200')
  const script = redis.command('EVAL', 'while true do end', '0').catch(() => {})
  await during()
  await redis.command('SCRIPT', 'KILL')
  await script
}

async function withoutScripts(redis: RedisServer, during: () => Promise<void>): Promise<void> {
  const ended = during()
  for (let time = 0; time < 10; time++) {
    await redis.command('SCRIPT', 'FLUSH')
    await delay(forMs / 10)
  }
  await ended
}

async function wantingPassword(redis: RedisServer, during: () => Promise<void>): Promise<void> {
  const password = 'rotated'
  await redis.command('CONFIG', 'SET', 'requirepass', password)
  await redis.commandAs(password, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await during()
  await redis.commandAs(password, 'CONFIG', 'SET', 'requirepass', '')
}
