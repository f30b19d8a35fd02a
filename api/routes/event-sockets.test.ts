import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { promisify } from 'node:util'
import { newId } from '@jobyard/db/ids'
import { describe, expect, it, onTestFinished } from 'vitest'
import WebSocket from 'ws'
import { countReads, expectRest, named, openStage, patient, report } from '../../testing/event-stage.ts'
import { openEventStream } from '../../testing/event-stream.ts'
import { adminKey } from '../../testing/platform.ts'

describe('A WebSocket', () => {
  const dial = async (port: number, path: string, headers: Record<string, string> = {}) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, {
      headers: { authorization: `Bearer ${adminKey}`, ...headers },
    })
    onTestFinished(() => socket.terminate())
    const messages: any[] = []
    socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString())))
    const status = new Promise<number>((resolve, reject) => {
      socket.once('open', () => resolve(101))
      socket.once('unexpected-response', (_request, answer) => resolve(answer.resume().statusCode ?? 0))
      socket.once('error', reject)
    })
    const closed = new Promise<number>((resolve) => socket.once('close', resolve))
    return { socket, messages, status: await status, closed }
  }

  it('tells the same, with the same filters, and resumes', async () => {
    const stage = await openStage()
    const { port } = await stage.api()
    const ids = await stage.end({}, { status: 'failed' })
    const { messages } = await dial(port, '/v1/events?lastEventId=0&type=job.completed')
    await expect.poll(() => messages.length, patient).toBe(2)
    expect(messages[0]).toEqual({ id: '0', type: 'open', data: {} })
    expect(messages[1]).toMatchObject({
      id: '1',
      type: 'job.completed',
      data: { type: 'job.completed', data: { id: ids[0] } },
    })
    const [next] = await stage.end({})
    await expect.poll(() => messages.length, patient).toBe(3)
    expect(messages[2]).toMatchObject({ id: '3', data: { data: { id: next } } })
  })

  it('ends with its job', async () => {
    const stage = await openStage()
    const { port } = await stage.api()
    const id = await stage.record.addJob()
    const { messages, closed } = await dial(port, `/v1/jobs/${id}/events`)
    await stage.record.end(id, 'completed', 0)
    await stage.place()
    expect(await closed).toBe(1_000)
    expect(messages.map(({ type }) => type)).toEqual(['open', 'job.completed'])
    expect(await (await dial(port, `/v1/jobs/${id}/events?lastEventId=1`)).closed).toBe(1_000)
  })

  it('is refused before it opens, as any other request', async () => {
    const stage = await openStage()
    const { port } = await stage.api({ maxPerKey: 1 })
    expect((await dial(port, '/v1/events', { authorization: 'Bearer no' })).status).toBe(401)
    expect((await dial(port, '/v1/events?lastEventId=x')).status).toBe(400)
    expect((await dial(port, '/v1/events?type=x')).status).toBe(422)
    expect((await dial(port, `/v1/jobs/${newId()}/events`)).status).toBe(404)
    expect((await dial(port, '/v1/jobs')).status).toBe(200)
    expect((await dial(port, '/v1/events')).status).toBe(101)
    expect((await dial(port, '/v1/events')).status).toBe(429)
  })

  it('is told where to go on when the API drains', async () => {
    const stage = await openStage()
    const { port, app } = await stage.api()
    const { messages, closed } = await dial(port, '/v1/events')
    await expect.poll(() => messages.length, patient).toBe(1)
    await app.close()
    expect(await closed).toBe(1_001)
    expect(messages.at(-1)).toEqual({ id: '0', type: 'end', data: { reason: 'draining', position: 0 } })
  })

  it('is cut with all other connections', async () => {
    const stage = await openStage()
    const { port, app } = await stage.api()
    const { closed } = await dial(port, '/v1/events')
    app.cutConnections()
    expect(await closed).toBe(1_006)
  })

  it('that answers no ping is cut off', async () => {
    const stage = await openStage()
    const { port } = await stage.api({ beatEveryMs: 50 })
    const { socket, closed } = await dial(port, '/v1/events')
    socket.pause()
    setTimeout(() => socket.resume(), 400)
    expect(await closed).toBe(1_006)
  })

  it('that takes nothing is dropped, and told where to go on', async () => {
    const stage = await openStage()
    const { port, open } = await stage.api({ maxWaitingBytes: 65_536 })
    const id = await stage.record.addJob()
    const { socket, messages, closed } = await dial(port, `/v1/events?${named}`)
    const quick = await open(`/v1/events?${named}`)
    socket.pause()
    for (let round = 1; round < 7; round++) {
      await report(stage.sql, id, 100, 50_000)
      await stage.place()
      await expect.poll(() => quick.messages.length, patient).toBe(round * 100)
    }
    socket.resume()
    expect(await closed).toBe(1_013)
    const { id: position, type, data } = messages.at(-1)
    expect([type, data]).toEqual(['end', { reason: 'slow', position: Number(position) }])
    expect(messages.slice(1, -1).map((message) => Number(message.id))).toEqual(
      Array.from({ length: Number(position) }, (_, index) => index + 1),
    )
  })

  it('that never comes to be gives its place back', async () => {
    const stage = await openStage()
    const { port } = await stage.api({ maxPerKey: 1 })
    for (let time = 0; time < 3; time++) {
      const socket = connectSocket(port, '127.0.0.1')
      socket
        .resume()
        .write(
          `GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${adminKey}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`,
        )
      await once(socket, 'close')
    }
    await expect.poll(async () => (await dial(port, '/v1/events')).status, patient).toBe(101)
  })

  it('that says too much is cut off, and what it says does nothing', async () => {
    const stage = await openStage()
    const { port } = await stage.api()
    const { socket, closed } = await dial(port, '/v1/events')
    socket.send('hello')
    socket.send('x'.repeat(2_000))
    expect(await closed).toBe(1_009)
  })

  it('offer of HTTP/2, which many clients make, changes nothing', async () => {
    const stage = await openStage()
    const { port } = await stage.api()
    const answer = await openEventStream(port, '/v1/jobs', { connection: 'upgrade, http2-settings', upgrade: 'h2c' })
    expect(answer.status).toBe(200)
  })
})
describe('A connection', () => {
  const auth = `authorization: Bearer ${adminKey}\r\n`
  const upgrade = 'connection: upgrade\r\nupgrade: websocket\r\n'
  const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`
  const startWriting = (port: number, text: string) => {
    const socket = connectSocket(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.resume().write(text)
    return socket
  }

  it('that asks for a WebSocket behind a request without an answer is not lost', async () => {
    const { port, app } = await (await openStage()).api()
    const socket = startWriting(port, get('/readyz') + get('/v1/events', upgrade))
    await once(socket, 'end')
    const connections = async () => promisify(app.server.getConnections.bind(app.server))()
    await expect.poll(connections, patient).toBe(0)
  })

  it('that asks for a WebSocket while the API closes does not keep it from closing', async () => {
    const { port, app } = await (await openStage()).api()
    const socket = startWriting(port, get('/v1/events', upgrade + auth).slice(0, -2))
    const connections = async () => promisify(app.server.getConnections.bind(app.server))()
    await expect.poll(connections, patient).toBe(1)
    await new Promise((resolve) => setImmediate(resolve))
    const closed = app.close()
    socket.write('\r\n')
    await closed
  })

  it('that follows a stream behind a request without an answer ends both', async () => {
    const stage = await openStage()
    const { port, open } = await stage.api({ maxPerKey: 2, pollMs: 10 })
    const reads = await countReads(stage)
    const socket = startWriting(port, get('/v1/events', auth) + get('/v1/events', auth))
    await expect.poll(async () => (await open('/v1/events')).status, patient).toBe(429)
    await once(socket, 'data')
    socket.destroy()
    await expectRest(reads)
  })
})
