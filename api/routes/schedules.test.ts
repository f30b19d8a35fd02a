import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startPlatform, type Platform } from '../../testing/platform.ts'
import { addSchedule } from '../../testing/schedules.ts'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform('postgres')
})
afterEach(() => platform.db.sql`truncate schedules, occurrences`)
afterAll(() => platform.stop())
const call: Platform['call'] = (...args) => platform.call(...args)

const path = '/v1/schedules/nightly'
const echo = { type: 'echo', input: { value: 1 } }
const nightly = { ...echo, cron: '30 2 * * *', timeZone: 'Europe/Berlin' }
const occurrences = async () => (await call('GET', `${path}/occurrences`)).body.items

describe('Putting a schedule', () => {
  it('makes it, tells when it will fire and says in words what it means', async () => {
    const { status, headers, body } = await call('PUT', path, nightly)
    expect([status, headers['location']]).toEqual([201, path])
    expect(body).toMatchObject({
      ...nightly,
      name: 'nightly',
      source: 'api',
      paused: false,
      missed: 'once',
      overlap: 'allow',
    })
    expect(body.description).toMatch(/02:30/)
    expect(body.nextRuns).toHaveLength(5)
    expect(await call('GET', path)).toMatchObject({ status: 200, body })
  })

  it('again changes nothing, and with another input does not move its next occurrence', async () => {
    const every = { ...echo, everyMs: 3_600_000 }
    const { body: first } = await call('PUT', path, every)
    expect(await call('PUT', path, every)).toMatchObject({ status: 200, body: first })
    const { body: changed } = await call('PUT', path, { ...every, input: { value: 2 } })
    expect(changed.nextRuns).toEqual(first.nextRuns)
    expect(changed.input).toEqual({ value: 2 })
  })

  it.each([
    ['an empty expression', { cron: '' }, 'cron', /five fields/],
    ['three fields', { cron: '* * *' }, 'cron', /five fields/],
    ['a day that never comes', { cron: '0 0 30 2 *' }, 'cron', /never/],
    ['a step of nothing', { cron: '*/0 * * * *' }, 'cron', /minute/],
    ['a nickname', { cron: '@reboot' }, 'cron', /./],
    ['seven fields', { cron: '0 0 0 1 1 * 2030' }, 'cron', /five fields/],
    ['2 kB', { cron: `${'1,'.repeat(1_000)}1 * * * *` }, 'cron', /256/],
    ['an hour that is none', { cron: '0 25 * * *' }, 'cron', /hour/],
    ['a zone on Mars', { cron: '* * * * *', timeZone: 'Mars/Phobos' }, 'timeZone', /Mars/],
    ['an offset', { cron: '* * * * *', timeZone: 'UTC+25' }, 'timeZone', /UTC\+25/],
    ['neither cron nor everyMs', {}, 'cron', /./],
    ['half a second', { everyMs: 500 }, 'everyMs', /./],
    ['an end before now', { cron: '* * * * *', endsAt: '2001-01-01T00:00:00Z' }, 'endsAt', /./],
    ['jitter beyond the next occurrence', { cron: '* * * * *', jitterMs: 60_000 }, 'jitterMs', /60000/],
  ])('refuses %s, and names the field', async (_what, rule, field, message) => {
    const { status, body } = await call('PUT', path, { ...echo, ...rule })
    expect([status, body.type.split('/').at(-1), body.errors[0].path]).toEqual([422, 'cron-invalid', field])
    expect(body.errors[0].message).toMatch(message)
    expect((await call('GET', path)).status).toBe(404)
  })

  it('refuses types that are unknown, inputs that do not fit, and names that no schedule may have', async () => {
    expect(await call('PUT', path, { ...nightly, type: 'ecko' })).toMatchObject({
      status: 422,
      body: { detail: expect.stringMatching(/Known types: echo/) },
    })
    expect(await call('PUT', path, { ...nightly, type: 'webhook.deliver' })).toMatchObject({ status: 422 })
    const { body } = await call('PUT', path, { ...nightly, input: {} })
    expect(body.errors).toEqual([{ path: 'input.value', message: 'is missing' }])
    expect(await call('PUT', '/v1/schedules/a%20b', nightly)).toMatchObject({ status: 422 })
    expect(await call('PUT', path, { ...nightly, corn: '' })).toMatchObject({ status: 422 })
  })

  it('refuses to touch what belongs to the schedules file', async () => {
    await addSchedule(platform.db.sql, { source: 'file', paused: true })
    for (const method of ['PUT', 'DELETE'] as const) {
      const { status, body } = await call(method, path, method === 'PUT' ? nightly : undefined)
      expect([status, body.detail]).toEqual([409, expect.stringMatching(/schedules file/)])
    }
  })
})

describe('A schedule', () => {
  it('fires, and its jobs say what they are of', async () => {
    await call('PUT', path, { ...echo, everyMs: 1_000, metadata: { team: 'a' } })
    await expect.poll(async () => (await occurrences()).length).toBeGreaterThan(1)
    const all = (await occurrences()).toReversed()
    for (const [index, { at, manual, outcome }] of all.entries()) {
      expect([manual, outcome]).toEqual([false, 'fired'])
      expect(Date.parse(at)).toBe(Date.parse(all[0].at) + index * 1_000)
    }
    const { body } = await call('GET', `/v1/jobs/${all[0].job.jobId}`)
    expect(body).toMatchObject({ type: 'echo', metadata: { team: 'a', schedule: 'nightly', occurrence: all[0].at } })
    await expect.poll(async () => (await call('GET', path)).body.lastRun?.status).toBe('completed')
  })

  it('does not fire while it is paused, and goes on with the next occurrence', async () => {
    await call('PUT', path, { ...nightly, paused: true })
    expect((await call('GET', path)).body).toMatchObject({ paused: true, nextRuns: [] })
    const resumed = await call('POST', `${path}/resume`)
    expect(resumed).toMatchObject({ status: 200, body: { paused: false } })
    expect(resumed.body.nextRuns).toHaveLength(5)
    expect((await call('POST', `${path}/pause`)).body).toMatchObject({ paused: true, nextRuns: [] })
    expect((await call('POST', `${path}/pause`)).body).toMatchObject({ paused: true })
  })

  it('runs when somebody asks for it, also while it is paused', async () => {
    await call('PUT', path, { ...nightly, paused: true })
    const { status, headers, body } = await call('POST', `${path}/trigger`)
    expect([status, headers['location']]).toEqual([202, `/v1/jobs/${body.id}`])
    expect(await occurrences()).toMatchObject([{ manual: true, outcome: 'fired', job: { jobId: body.id } }])
    await expect
      .poll(async () => (await call('GET', path)).body.lastRun)
      .toEqual({ jobId: body.id, status: 'completed' })
  })

  it('is deleted, while its jobs stay', async () => {
    await call('PUT', path, nightly)
    const { body } = await call('POST', `${path}/trigger`)
    expect((await call('DELETE', path)).status).toBe(204)
    expect((await call('DELETE', path)).status).toBe(404)
    expect((await call('GET', `/v1/jobs/${body.id}`)).status).toBe(200)
  })

  it('that is none is not found', async () => {
    for (const [method, more] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/pause'],
      ['POST', '/resume'],
      ['POST', '/trigger'],
      ['GET', '/occurrences'],
    ] as const) {
      const { status, body } = await call(method, path + more)
      expect([method, more, status]).toEqual([method, more, 404])
      expect(body.detail).toMatch(/nightly/)
    }
  })
})

it('Schedules and occurrences are listed page by page', async () => {
  for (const name of ['c', 'a', 'b']) await call('PUT', `/v1/schedules/${name}`, nightly)
  const first = (await call('GET', '/v1/schedules?limit=2')).body
  expect(first.items.map(({ name }: { name: string }) => name)).toEqual(['a', 'b'])
  const second = (await call('GET', `/v1/schedules?limit=2&cursor=${first.nextCursor}`)).body
  expect(second).toMatchObject({ items: [{ name: 'c' }] })
  expect(second).not.toHaveProperty('nextCursor')
  expect((await call('GET', '/v1/schedules?cursor=abc')).status).toBe(400)

  const ids: string[] = []
  for (let run = 0; run < 3; run++) ids.unshift((await call('POST', '/v1/schedules/a/trigger')).body.id)
  const page = (await call('GET', '/v1/schedules/a/occurrences?limit=2')).body
  const rest = (await call('GET', `/v1/schedules/a/occurrences?limit=2&cursor=${page.nextCursor}`)).body
  const listed = [...page.items, ...rest.items].map(({ job }) => job.jobId)
  expect(listed).toEqual(ids)
})

it('A preview tells when a rule would fire, what clocks show then, and what it says in words', async () => {
  const rule = { cron: '30 2 * * *', timeZone: 'Europe/Berlin', after: '2026-03-28T00:00:00Z', count: 3 }
  const { status, body } = await call('POST', '/v1/schedules/preview', rule)
  expect(status).toBe(200)
  expect(body.runs).toEqual(['2026-03-28T01:30:00.000Z', '2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z'])
  expect(body.details[1]).toMatchObject({
    at: body.runs[1],
    local: expect.stringMatching(/03:00/),
    remark: expect.any(String),
  })
  expect(body.description).toMatch(/02:30/)
  const every = await call('POST', '/v1/schedules/preview', {
    everyMs: 60_000,
    after: '2030-01-01T00:00:00Z',
    count: 2,
  })
  expect(every.body.runs).toEqual(['2030-01-01T00:01:00.000Z', '2030-01-01T00:02:00.000Z'])
  expect(await call('POST', '/v1/schedules/preview', { cron: '61 * * * *' })).toMatchObject({
    status: 422,
    body: { errors: [{ path: 'cron', message: expect.stringMatching(/minute/) }] },
  })
})
