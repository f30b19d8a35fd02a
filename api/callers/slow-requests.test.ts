import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openStage } from '../../testing/event-stage.ts'
import { callWith, makeKey } from '../../testing/keys.ts'
import { adminKey } from '../../testing/platform.ts'

const patient = { timeout: 10_000 }

async function openTwoApis() {
  const stage = await openStage()
  const [here, there] = [await stage.api(), await stage.api()]
  const { id, key } = await makeKey(here.port, { role: 'admin' })
  const isShown = async () => (await stage.sql`select from api_keys where last_used_at is not null`).length
  const revokeEverywhere = async () => {
    expect((await callWith(here.port, adminKey, 'DELETE', `/v1/api-keys/${id}`)).status).toBe(204)
    await expect.poll(async () => (await callWith(there.port, key, 'GET', '/v1/queues')).status, patient).toBe(401)
  }
  return { stage, port: there.port, key, isShown, revokeEverywhere }
}

describe('A key that is revoked while a request is under way', () => {
  it.each([
    ['Bearer', 'POST /v1/api-keys', (key: string) => `Bearer ${key}`],
    ['Basic', 'POST /board/api/queues/default/add', (key: string) => `Basic ${btoa(`me:${key}`)}`],
  ])('acts no more when the body is complete (%s)', async (_scheme, line, shown) => {
    const { stage, port, key, isShown, revokeEverywhere } = await openTwoApis()
    const socket = connectSocket(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
    const body = JSON.stringify({ name: 'x', role: 'admin' })
    const head = `${line} HTTP/1.1\r\nhost: x\r\nauthorization: ${shown(key)}\r\nconnection: close\r\n`
    socket.write(`${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 5)}`)
    await expect.poll(isShown, patient).toBe(1)
    await revokeEverywhere()
    socket.write(body.slice(5))
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 401 /)
    expect(await stage.sql`select from api_keys`).toHaveLength(0)
    expect((await stage.sql`select action from audit_log`).map(({ action }) => action)).toEqual([
      'createApiKey',
      'revokeApiKey',
    ])
  })

  it('gets no output of the job that it waits for', async () => {
    const { stage, port, key, revokeEverywhere } = await openTwoApis()
    const job = { type: 'echo', input: { value: 1 } }
    const answer = callWith(port, key, 'POST', '/v1/jobs', job, { prefer: 'wait=60' })
    const jobs = () => stage.sql<{ id: string }[]>`select id from jobs`
    await expect.poll(async () => (await jobs()).length, patient).toBe(1)
    await revokeEverywhere()
    await stage.record.end((await jobs())[0]!.id, 'completed', 0)
    expect(await answer).toMatchObject({ status: 202, body: { status: 'queued' } })
  })
})
