import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { connect } from './connect.ts'

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
