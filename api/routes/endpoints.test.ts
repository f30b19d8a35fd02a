import { newId } from '@jobyard/db/ids'
import { parseAllowList } from '@jobyard/outbound/address-rules'
import { SecretBox } from '@jobyard/queues/secret-box'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listen, listenOn, type ListeningApi } from '../../testing/listening-api.ts'
import { adminKey } from '../../testing/platform.ts'
import { openRecord, type TestRecord } from '../../testing/record.ts'

let record: TestRecord
let api: ListeningApi
const url = 'https://receiver.example/hook'

beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

/** Calls the API over a socket. */
async function call(method: string, path: string, body?: unknown, { port } = api) {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: { authorization: `Bearer ${adminKey}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, headers: answer.headers, body: text && JSON.parse(text) }
}

const openApi = async (allow = '') => {
  api = await listenOn(record.db, record.url, { outboundAllow: parseAllowList(allow) })
  return api
}
const create = async (more: object = {}) => (await call('POST', '/v1/endpoints', { url, ...more })).body

describe('An endpoint', () => {
  it('is made with its secret, which is shown once and kept encrypted', async () => {
    await openApi()
    const { status, headers, body } = await call('POST', '/v1/endpoints', { url, headers: { 'X-Key': 'k-e-y' } })
    expect(status).toBe(201)
    expect(headers.get('location')).toBe(`/v1/endpoints/${body.id}`)
    const { secret, ...endpoint } = body
    expect(Buffer.from(secret.replace(/^whsec_/, ''), 'base64')).toHaveLength(32)
    expect(endpoint).toEqual({
      id: expect.any(String),
      url,
      description: '',
      events: ['job.completed', 'job.failed', 'job.cancelled'],
      jobTypes: [],
      tags: [],
      includeOutput: false,
      headerNames: ['X-Key'],
      maxInFlight: 50,
      status: 'enabled',
      failures: 0,
      position: 0,
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    })
    expect((await call('GET', `/v1/endpoints/${body.id}`)).body).toEqual(endpoint)
    const [row] = await record.sql`select * from endpoints where id = ${body.id}`
    expect(JSON.stringify(row)).not.toMatch(/whsec_|k-e-y/)
    expect(new SecretBox('secret-of-tests').open(row!['secret'], body.id)).toBe(secret)
  })

  it('is changed in what is named, and keeps the rest', async () => {
    await openApi()
    const { id, secret: _, ...before } = await create({ headers: { 'x-a': '1' }, tags: ['a'] })
    const changes = { description: 'Invoices', events: ['job.failed'], tags: [], includeOutput: true, maxInFlight: 3 }
    const { status, body } = await call('PATCH', `/v1/endpoints/${id}`, changes)
    expect(status).toBe(200)
    expect(body).toEqual({ id, ...before, ...changes, updatedAt: expect.any(String) })
    expect((await call('PATCH', `/v1/endpoints/${id}`, { headers: {} })).body.headerNames).toEqual([])
    expect((await call('PATCH', `/v1/endpoints/${id}`, { headers: { 'x-b': '2' } })).body.headerNames).toEqual(['x-b'])
    expect((await call('PATCH', `/v1/endpoints/${id}`, {})).body).toMatchObject({ ...changes, headerNames: ['x-b'] })
    const usual = ['job.cancelled', 'job.completed', 'job.failed']
    await call('PATCH', `/v1/endpoints/${id}`, { events: usual })
    expect((await call('GET', `/v1/endpoints/${id}`)).body.events.toSorted()).toEqual(usual)
  })

  it('begins without failures at a new URL', async () => {
    await openApi()
    const { id } = await create()
    const failing = { failures: 7, failingSince: expect.any(String), pausedUntil: expect.any(String) }
    await record.sql`
      update endpoints set failures = 7, failing_since = now(), open_until = now() + interval '1 minute' where id = ${id}`
    const change = async (changes: object) => (await call('PATCH', `/v1/endpoints/${id}`, changes)).body
    expect(await change({ description: 'x' })).toMatchObject(failing)
    const moved = await change({ url: 'https://example.com/elsewhere' })
    expect(moved).toMatchObject({ failures: 0 })
    expect(Object.keys(moved)).not.toContain('failingSince')
    expect(Object.keys(moved)).not.toContain('pausedUntil')
  })

  it('is deleted for good', async () => {
    await openApi()
    const { id } = await create()
    expect((await call('DELETE', `/v1/endpoints/${id}`)).status).toBe(204)
    expect((await call('DELETE', `/v1/endpoints/${id}`)).status).toBe(404)
    expect((await call('GET', `/v1/endpoints/${id}`)).status).toBe(404)
  })

  it('gets a new secret, beside which the old one is valid for a day, or as long as is said', async () => {
    await openApi()
    const { id, secret } = await create()
    const rotated = await call('POST', `/v1/endpoints/${id}/rotate-secret`)
    expect(rotated.status).toBe(200)
    expect(rotated.body.secret).not.toBe(secret)
    const leftMs = () => Date.parse(rotated.body.previousSecretUntil) - Date.now()
    expect(Math.abs(leftMs() - 86_400_000)).toBeLessThan(60_000)
    const again = await call('POST', `/v1/endpoints/${id}/rotate-secret`, { overlapMs: 0 })
    expect(Date.parse(again.body.previousSecretUntil)).toBeLessThanOrEqual(Date.now() + 1_000)
    const [row] = await record.sql`select secret, previous_secret from endpoints where id = ${id}`
    const box = new SecretBox('secret-of-tests')
    expect([box.open(row!['secret'], id), box.open(row!['previousSecret'], id)]).toEqual([
      again.body.secret,
      rotated.body.secret,
    ])
    expect((await call('POST', `/v1/endpoints/${id}/rotate-secret`, { overlapMs: -1 })).status).toBe(422)
  })

  it('is disabled and enabled, and tells why', async () => {
    await openApi()
    const { id } = await create()
    expect((await call('POST', `/v1/endpoints/${id}/disable`)).body).toMatchObject({
      status: 'disabled',
      disabledReason: 'asked',
      disabledAt: expect.any(String),
    })
    for (const [path, body] of [
      ['test', undefined],
      ['replay', { since: '2026-01-01T00:00:00Z' }],
    ] as const) {
      const refused = await call('POST', `/v1/endpoints/${id}/${path}`, body)
      expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining('disabled (asked)')])
    }
    const enabled = await call('POST', `/v1/endpoints/${id}/enable`)
    expect(enabled.body).toMatchObject({ status: 'enabled' })
    expect(enabled.body).not.toHaveProperty('disabledReason')
  })

  it('is listed, newest first, page by page', async () => {
    await openApi()
    const made = [await create(), await create(), await create()].map(({ id }) => id)
    const first = await call('GET', '/v1/endpoints?limit=2')
    expect(first.body.items.map(({ id }: { id: string }) => id)).toEqual([made[2], made[1]])
    expect(JSON.stringify(first.body)).not.toContain('whsec_')
    const second = await call('GET', `/v1/endpoints?limit=1&cursor=${first.body.nextCursor}`)
    expect(second.body.items.map(({ id }: { id: string }) => id)).toEqual([made[0]])
    expect((await call('GET', '/v1/endpoints?cursor=abc')).status).toBe(400)
  })

  it('whose headers were kept under another secret is shown without their names', async () => {
    await openApi()
    const { body } = await call('POST', '/v1/endpoints', { url, headers: { 'x-key': 'k' } })
    const headers = new SecretBox('another').seal('{"x-key":"k"}', body.id)
    await record.sql`update endpoints set headers = ${headers} where id = ${body.id}`
    const { status, body: shown } = await call('GET', `/v1/endpoints/${body.id}`)
    expect([status, shown.id, shown.headerNames]).toEqual([200, body.id, undefined])
    expect((await call('GET', '/v1/endpoints')).status).toBe(200)
    await call('DELETE', `/v1/endpoints/${body.id}`)
  })

  it('of another tenant is not there', async () => {
    await openApi()
    const { id } = await create()
    await record.sql`update endpoints set tenant = 'theirs' where id = ${id}`
    const body = { since: '2026-01-01T00:00:00Z' }
    const answers = await Promise.all(
      [id, newId(), 'no-id', '%00', '__proto__'].flatMap((any) => [
        call('GET', `/v1/endpoints/${any}`),
        call('PATCH', `/v1/endpoints/${any}`, { description: 'x' }),
        call('DELETE', `/v1/endpoints/${any}`),
        call('POST', `/v1/endpoints/${any}/rotate-secret`),
        call('POST', `/v1/endpoints/${any}/test`),
        call('POST', `/v1/endpoints/${any}/enable`),
        call('POST', `/v1/endpoints/${any}/disable`),
        call('POST', `/v1/endpoints/${any}/replay`, body),
      ]),
    )
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 404, body: { type: expect.stringMatching(/not-found$/) } })
    }
    const { body: listed } = await call('GET', '/v1/endpoints?limit=200')
    expect(listed.items.map((endpoint: { id: string }) => endpoint.id)).not.toContain(id)
  })

  it('is one of a thousand at most', async () => {
    api = await listen()
    await api.sql`
      insert into endpoints (id, tenant, url, events, job_types, tags, secret, max_in_flight, cursor, created_at, updated_at)
      select gen_random_uuid(), 'default', 'https://x.example', '{}', '{}', '{}', '', 1, 0, now(), now() from generate_series(1, 1000)`
    const { status, body } = await call('POST', '/v1/endpoints', { url })
    expect([status, body.detail]).toEqual([409, expect.stringContaining('1000')])
  })
})

describe('The URL of an endpoint', () => {
  it.each([
    ['nothing', ''],
    ['a path', '/hook'],
    ['http', 'http://receiver.example/'],
    ['a file', 'file:///etc/passwd'],
    ['FTP', 'ftp://receiver.example/'],
    ['a user', 'https://user@receiver.example/'],
    ['a password', 'https://:x@receiver.example/'],
    ['a short address', 'https://127.1/'],
    ['a decimal address', 'https://2130706433/'],
    ['a hexadecimal address', 'https://0x7f.1/'],
    ['an octal address', 'https://0177.0.0.1/'],
    ['this machine', 'https://localhost/'],
    ['this machine, with a dot', 'https://localhost./'],
    ['a private network', 'https://10.0.0.1/'],
    ['another private network', 'https://192.168.0.1/'],
    ['the metadata of a cloud', 'https://169.254.169.254/latest/meta-data'],
    ['the network of a carrier', 'https://100.64.0.1/'],
    ['IPv6 of this machine', 'https://[::1]/'],
    ['IPv4 in IPv6', 'https://[::ffff:127.0.0.1]/'],
    ['a private IPv6 network', 'https://[fc00::1]/'],
    ['IPv4 behind NAT64', 'https://[64:ff9b::7f00:1]/'],
    ['a port of SSH', 'https://receiver.example:22/'],
    ['a port of a database', 'https://receiver.example:5432/'],
    ['port 80', 'https://receiver.example:80/'],
    ['a line break', 'https://receiver.example/\r\nhost: x'],
  ])('is refused where it names %s', async (_what, forbidden) => {
    await openApi()
    const { id } = await create()
    const answers = [
      await call('POST', '/v1/endpoints', { url: forbidden }),
      await call('PATCH', `/v1/endpoints/${id}`, { url: forbidden }),
    ]
    for (const { status, headers, body } of answers) {
      expect([status, headers.get('content-type')]).toEqual([422, expect.stringContaining('application/problem+json')])
      expect(body).toMatchObject({
        type: expect.stringMatching(/url-not-allowed$/),
        errors: [{ path: 'url', message: expect.any(String) }],
      })
    }
    expect((await call('GET', `/v1/endpoints/${id}`)).body.url).toBe(url)
  })

  it('may be what the installation allows, but never the platform itself', async () => {
    const { port } = await openApi('127.0.0.1,localhost,[::1]:4000')
    const status = async (allowed: string) => (await call('POST', '/v1/endpoints', { url: allowed })).status
    expect(await status('http://127.0.0.1:4000/')).toBe(201)
    expect(await status('http://[::1]:4000/')).toBe(201)
    expect(await status(`http://127.0.0.1:${port}/`)).toBe(422)
    expect(await status(`http://localhost:${port}/v1/jobs`)).toBe(422)
  })

  it('may not be the name by which the caller came', async () => {
    const { app } = await openApi()
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/endpoints',
      headers: { authorization: `Bearer ${adminKey}`, host: 'jobs.example' },
      payload: { url: 'https://jobs.example/v1/jobs' },
    })
    expect(answer.json()).toMatchObject({ status: 422, detail: expect.stringContaining('address of this platform') })
  })

  it('may be a name: that is judged when it is called', async () => {
    await openApi()
    expect((await call('POST', '/v1/endpoints', { url: 'https://no-such-name.example/' })).status).toBe(201)
  })
})

describe('What is said about an endpoint', () => {
  it.each<[string, object, string, string]>([
    ['no URL', { url: undefined }, 'validation-failed', 'url'],
    ['a URL of 3,000 characters', { url: `${url}${'x'.repeat(3_000)}` }, 'validation-failed', 'url'],
    ['an unknown field', { secret: 'mine' }, 'validation-failed', ''],
    ['no events', { events: [] }, 'validation-failed', 'events'],
    ['an unknown event', { events: ['job.exploded'] }, 'validation-failed', 'events.0'],
    ['many at once', { maxInFlight: 501 }, 'validation-failed', 'maxInFlight'],
    ['21 headers', { headers: headersOf(21) }, 'validation-failed', 'headers'],
    ['a long header', { headers: { x: 'x'.repeat(1_025) } }, 'validation-failed', 'headers.x'],
    ['a header twice', { headers: { 'x-a': '1', 'X-A': '2' } }, 'validation-failed', 'headers'],
    ['Host', { headers: { Host: 'x' } }, 'validation-failed', 'headers.Host'],
    ['Content-Length', { headers: { 'content-length': '1' } }, 'validation-failed', 'headers.content-length'],
    ['a signature', { headers: { 'Webhook-Signature': 'x' } }, 'validation-failed', 'headers.Webhook-Signature'],
    ['Connection', { headers: { connection: 'close' } }, 'validation-failed', 'headers.connection'],
    ['a name with a line break', { headers: { 'x\r\ny': '1' } }, 'validation-failed', 'headers.x\r\ny'],
    ['a value with a line break', { headers: { x: '1\r\ny: 2' } }, 'url-not-allowed', 'headers.x'],
    ['a value with a zero', { headers: { x: '\0' } }, 'url-not-allowed', 'headers.x'],
  ])('may not be %s', async (_what, more, kind, path) => {
    await openApi()
    const before = await call('GET', '/v1/endpoints?limit=200')
    const { status, body } = await call('POST', '/v1/endpoints', { url, ...more })
    expect(status).toBe(422)
    expect(body.type).toMatch(new RegExp(`/${kind}$`))
    expect(body.errors.map((error: { path: string }) => error.path)).toContain(path)
    expect((await call('GET', '/v1/endpoints?limit=200')).body).toEqual(before.body)
  })
})

function headersOf(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, '1']))
}
