import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { newId } from '@jobyard/db/ids'
import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { startTestRedis } from '../testing/redis.ts'
import { openCarrier } from './carrier.ts'

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
