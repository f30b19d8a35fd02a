import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { startTcpProxy, type TcpProxy } from '../testing/tcp-proxy.ts'
import { connect } from './connect.ts'
import { WatchedSocket } from './watched-socket.ts'

let record: TestRecord
let network: TcpProxy
beforeEach(async () => {
  record = await openRecord()
  network = await startTcpProxy(record.url)
})
afterEach(async () => {
  network.close()
  await record.close()
})

it('A statement fails when its connection falls silent, and the next one goes on a new connection', async () => {
  const db = connect(network.url, { applicationName: 'silent', max: 1, silentMs: 1_500 })
  await db.sql`select 1`
  network.freeze()
  await expect(db.sql`select 2`).rejects.toMatchObject({ code: 'ETIMEDOUT' })
  network.thaw()
  await expect.poll(() => db.sql`select 3 as n`).toMatchObject([{ n: 3 }])
  await db.close()
})

it('A connection that is idle is left alone', async () => {
  const server = createServer((socket) => socket.on('data', () => socket.write('answer'))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const idle = new WatchedSocket(1_000).connect(port, '127.0.0.1')
  idle.write('question')
  await once(idle, 'data')
  const mute = createServer((socket) => socket.resume()).listen(0, '127.0.0.1')
  await once(mute, 'listening')
  const unanswered = new WatchedSocket(2_000).connect((mute.address() as AddressInfo).port, '127.0.0.1')
  unanswered.write('question')
  const [error] = (await once(unanswered, 'error')) as [Error]
  expect(error.message).toContain('no answer for 2 s')
  expect(idle.destroyed).toBe(false)
  idle.destroy()
  server.close()
  mute.close()
})
