import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import WebSocket from 'ws'
import { openStage } from '../../testing/event-stage.ts'
import { callWith, makeKey } from '../../testing/keys.ts'
import { adminKey } from '../../testing/platform.ts'

/** Time in which all that is open under a key ends, in milliseconds. */
const withinMs = 5_000
const within = <T>(promise: Promise<T>) => Promise.race([promise, delay(withinMs, 'too late')])

async function openTwoApis() {
  const stage = await openStage()
  const [here, there] = [await stage.api(), await stage.api()]
  const { id, key } = await makeKey(here.port, { role: 'submitter' })
  const authorization = `Bearer ${key}`
  return { stage, here, there, id, key, authorization }
}

const revoke = async (port: number, id: string) =>
  expect((await callWith(port, adminKey, 'DELETE', `/v1/api-keys/${id}`)).status).toBe(204)

it('Streams of events end soon after their key was revoked at another API, and say why; those of other keys go on', async () => {
  const { stage, here, there, id, authorization } = await openTwoApis()
  const stream = await there.open('/v1/events', { authorization })
  const socket = new WebSocket(`ws://127.0.0.1:${there.port}/v1/events`, { headers: { authorization } })
  onTestFinished(() => socket.terminate())
  await once(socket, 'open')
  const closed = once(socket, 'close')
  const other = await there.open('/v1/events')
  await revoke(here.port, id)
  expect(await within(stream.ended)).not.toBe('too late')
  expect(stream.messages.at(-1)).toMatchObject({ event: 'end', data: { reason: 'unauthenticated' } })
  expect(await within(closed.then(([code]) => code))).toBe(1_008)
  await stage.end({})
  await expect.poll(() => other.messages.length, { timeout: 5_000 }).toBe(1)
  expect((await there.open('/v1/events', { authorization })).status).toBe(401)
})

it('A stream of jobs is read no further, and says from where to go on with another key', async () => {
  const { stage, here, there, id, authorization } = await openTwoApis()
  const socket = connectSocket(there.port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  const closed = new Promise((resolve) => socket.once('close', resolve))
  let text = ''
  socket.on('error', () => {}).on('data', (piece) => (text += piece.toString()))
  const line = '{"type":"echo","input":{"value":1}}\n'
  const chunk = `${line.length.toString(16)}\r\n${line}\r\n`
  socket.write(
    `POST /v1/jobs/batch HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n${chunk}`,
  )
  await expect.poll(() => text, { timeout: 5_000 }).toMatch(/"index":0,"id"/)
  await revoke(here.port, id)
  await expect.poll(() => text, { timeout: withinMs }).toMatch(/"index":1,"problem":\{"type":"[^"]*\/unauthenticated"/)
  socket.write(chunk)
  expect(await within(closed)).not.toBe('too late')
  expect(await stage.sql`select from jobs`).toHaveLength(1)
})

it('Streams go on while Postgres is away, since nobody knows of their key being revoked', async () => {
  const { stage, there, authorization } = await openTwoApis()
  const stream = await there.open('/v1/events', { authorization })
  await stage.sql`alter table api_keys rename to hidden`
  await expect
    .poll(async () => (await callWith(there.port, `jy_${'x'.repeat(43)}`, 'GET', '/v1/jobs')).status, {
      timeout: 5_000,
    })
    .toBe(503)
  await expect
    .poll(async () => (await callWith(there.port, authorization.slice(7), 'GET', '/v1/jobs')).status, {
      timeout: 5_000,
    })
    .toBe(503)
  await stage.sql`alter table hidden rename to api_keys`
  const [job] = await stage.end({})
  await expect.poll(() => stream.messages.length, { timeout: 5_000 }).toBe(1)
  expect(stream.messages[0]?.data.data.id).toBe(job)
})
