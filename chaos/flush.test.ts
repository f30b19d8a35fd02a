import { Redis } from 'ioredis'
import { afterEach, it } from 'vitest'
import { openProcessPlatform, type ProcessPlatform } from '../testing/processes.ts'
import { Client, expectEachEndedOnce } from './oracle.ts'

let platform: ProcessPlatform
afterEach(() => platform.stop())

it('Under load, every accepted job ends once when Redis is flushed', async () => {
  platform = await openProcessPlatform('redis')
  const api = await platform.start('api')
  await platform.start('workers')
  const redis = new Redis(platform.redis!.url)
  const client = new Client(() => api)
  client.start()
  for (let round = 0; round < 5; round++) {
    await client.accepts(100)
    await redis.flushall()
  }
  await client.stop()
  await redis.flushall()
  redis.disconnect()
  await expectEachEndedOnce(platform.db, client.accepted)
}, 90_000)
