import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { sql as drizzleSql } from 'drizzle-orm'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { startTcpProxy, type TcpProxy } from '../testing/tcp-proxy.ts'
import { connect, type Database } from './connect.ts'

let record: TestRecord
let network: TcpProxy
let db: Database
beforeEach(async () => {
  record = await openRecord()
  network = await startTcpProxy(record.url)
  db = connect(network.url, { applicationName: 'test', max: 2, statementTimeoutMs: 150, silenceMs: 50 })
})
afterEach(async () => {
  await db.close()
  network.close()
  await record.close()
})

it('Connections whose other end has vanished are replaced, and what was under way on them fails', async () => {
  await Promise.all([db.sql`select 1`, db.sql`select 2`])
  network.strand()
  await expect(db.sql`select 3`).rejects.toMatchObject({ code: 'CONNECTION_DESTROYED' })
  expect(await db.sql`select 4 as four`).toEqual([{ four: 4 }])
})

it('So are those of the query builder, which reads the same values afterwards', async () => {
  const read = () => db.orm.execute(drizzleSql`select timestamptz '2026-01-02 03:04:05Z' as at`)
  const before = await read()
  network.strand()
  await expect(read()).rejects.toMatchObject({ cause: { code: 'CONNECTION_DESTROYED' } })
  expect(await read()).toEqual(before)
})

it('An answer that comes in time replaces nothing', async () => {
  const [before] = await db.sql`select pg_backend_pid() as pid`
  await db.sql`select pg_sleep(0.1)`
  await db.sql`select pg_sleep(0.1)`
  expect(await db.sql`select pg_backend_pid() as pid`).toEqual([before])
})

it('While Postgres is away it is tried again at least every second', async () => {
  let attempts = 0
  const away = createServer((socket) => {
    attempts++
    socket.resetAndDestroy()
  }).listen(0, '127.0.0.1')
  await once(away, 'listening')
  const { port } = away.address() as AddressInfo
  const cutOff = connect(`postgres://nobody@127.0.0.1:${port}/none`, { applicationName: 'test', max: 1 })
  while (attempts < 8) await cutOff.sql`select 1`.catch(() => {})
  expect(attempts).toBe(8)
  await cutOff.close()
  away.close()
}, 6_000)
