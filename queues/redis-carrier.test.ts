import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { newId } from '@jobyard/db/ids'
import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { startTestRedis } from '../testing/redis.ts'
import { openCarrier } from './carrier.ts'
import { TicketSender } from './tickets.ts'

it('Leaves a node that has become a replica, for the one that its address leads to now', async () => {
  const [old, next] = [await startTestRedis(), await startTestRedis()]
  let master = old
  const address = createServer((client) => {
    const upstream = connect(master.port, '127.0.0.1')
    client.pipe(upstream).pipe(client)
    for (const socket of [client, upstream]) socket.on('error', () => {})
  }).listen(0, '127.0.0.1')
  await once(address, 'listening')
  const { port } = address.address() as AddressInfo
  const carrier = openCarrier({ redisUrl: `redis://127.0.0.1:${port}`, databaseUrl: '', onError: () => {} })
  const send = () => carrier.add('default', [{ id: newId(), data: { ids: [] }, priority: 0 }])
  await send()
  master = next
  const operator = new Redis(old.url)
  await operator.replicaof('127.0.0.1', String(next.port))
  await expect(send()).rejects.toThrow('READONLY')
  await send()
  operator.disconnect()
  await carrier.close()
  address.close()
  await Promise.all([old.stop(), next.stop()])
})

it('A probe whose list was evicted hides lost tickets until the next minute at most', async () => {
  const redis = await startTestRedis()
  const carrier = openCarrier({ redisUrl: redis.url, databaseUrl: '', onError: () => {} })
  const sender = new TicketSender(carrier, { contracts: [], onLost: () => {} })
  const operator = new Redis(redis.url)
  const send = (time: string) => sender.probe({ queue: 'default', priority: 0, stamp: `2026-11-21 ${time}+00` })
  const waiting = () => operator.lrange('jobyard:default:wait', 0, -1)
  await send('10:02:03')
  expect(await operator.del('jobyard:default:wait')).toBe(1)
  await send('10:02:08')
  expect(await waiting()).toEqual([])
  await send('10:03:03')
  expect(await waiting()).toEqual(['probe-0-202611211003'])
  operator.disconnect()
  await carrier.close()
  await redis.stop()
})
