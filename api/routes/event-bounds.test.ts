import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { named, openStage, patient, report } from '../../testing/event-stage.ts'
import { makeKey, type WantedKey } from '../../testing/keys.ts'
import { adminKey } from '../../testing/platform.ts'

describe('The bounds of streams', () => {
  it('are so many for each key, and so many for the process', async () => {
    const stage = await openStage()
    const { open } = await stage.api({ maxPerKey: 2 })
    const [first] = await Promise.all([open('/v1/events'), open('/v1/events')])
    const refused = await open('/v1/events')
    await refused.ended
    expect(refused).toMatchObject({ status: 429, headers: { 'retry-after': '5' } })
    expect(refused.problem().type).toMatch(/rate-limited$/)
    first.close()
    await expect.poll(async () => (await open('/v1/events')).status, patient).toBe(200)
    const full = await (await stage.api({ maxInAll: 0 })).open('/v1/events')
    expect(full).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
  })

  it('are so many for each tenant, however many keys it makes', async () => {
    const stage = await openStage()
    const { port, open } = await stage.api({ maxPerTenant: 2 })
    const openWith = async (wanted: WantedKey) =>
      open('/v1/events', { authorization: `Bearer ${(await makeKey(port, wanted)).key}` })
    const [first] = await Promise.all([open('/v1/events'), openWith({})])
    const refused = await openWith({})
    await refused.ended
    expect(refused).toMatchObject({ status: 429, headers: { 'retry-after': '5' } })
    expect(refused.problem()).toMatchObject({
      type: expect.stringMatching(/rate-limited$/),
      detail: expect.stringContaining('This tenant reads 2 streams'),
    })
    expect((await openWith({ tenant: 'another' })).status).toBe(200)
    first.close()
    await expect.poll(async () => (await open('/v1/events')).status, patient).toBe(200)
  })

  it.each([
    ['that follows', '/v1/events', ''],
    ['that resumes', '/v1/events', '&lastEventId=0'],
    ['of the past of one job', '/v1/jobs/:id/events', '&lastEventId=0'],
  ])('drop a slow reader %s with its position, and cost the others nothing', async (_what, path, from) => {
    const stage = await openStage()
    const { port, open } = await stage.api({ maxWaitingBytes: 65_536, pageWithinMs: 300 })
    const id = await stage.record.addJob()
    const isBehind = from !== ''
    const url = `${path.replace(':id', id)}?${named}${from}`
    if (isBehind) await report(stage.sql, id, 600, 50_000)
    await stage.place()
    const slow = connectSocket(port, '127.0.0.1')
    onTestFinished(() => void slow.destroy())
    slow.write(`GET ${url} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${adminKey}\r\n\r\n`)
    await once(slow, 'readable')
    const quick = await open(`/v1/events?${named}`)
    for (let round = 0; round < 6 && !isBehind; round++) {
      await report(stage.sql, id, 100, 50_000)
      await stage.place()
      await expect.poll(() => quick.messages.length, patient).toBe((round + 1) * 100)
    }
    const ending = new Promise((resolve) => slow.once('end', resolve))
    let text = ''
    setTimeout(() => slow.on('data', (chunk) => (text = (text + chunk.toString()).slice(-500))), 1_000)
    await ending
    const [, position = ''] = /"reason":"slow","position":(\d+)/.exec(text) ?? []
    expect(Number(position)).toBeGreaterThan(0)
    expect(Number(position)).toBeLessThan(600)
    expect(text).toContain(`id: ${position}\nevent: end`)
  })

  it('give a place back when the client goes while its stream is opened', async () => {
    const stage = await openStage()
    const { port, open } = await stage.api({ maxPerKey: 1 })
    for (let time = 0; time < 20; time++) {
      const socket = connectSocket(port, '127.0.0.1')
      socket.write(`GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${adminKey}\r\n\r\n`, () =>
        socket.resetAndDestroy(),
      )
      await once(socket, 'close')
    }
    await expect.poll(async () => (await open('/v1/events')).status, patient).toBe(200)
  })
})
