import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { callWith, makeKey } from '../../testing/keys.ts'
import { listen } from '../../testing/listening-api.ts'
import { adminKey } from '../../testing/platform.ts'

const job = { type: 'echo', input: { value: 1 } }

describe('A key', () => {
  it('is shown once, opens what its role may do, and is stored as its hash only', async () => {
    const { port, sql } = await listen()
    const wanted = { name: 'checkout', role: 'submitter' }
    const made = await callWith(port, adminKey, 'POST', '/v1/api-keys', wanted)
    expect(made.status).toBe(201)
    expect(made.headers.get('location')).toBe(`/v1/api-keys/${made.body.id}`)
    const { key, ...view } = made.body
    expect(key).toMatch(/^jy_[\w-]{43}$/)
    expect(view).toEqual({
      id: expect.any(String),
      ...wanted,
      tenant: 'default',
      prefix: key.slice(0, 8),
      createdAt: expect.any(String),
    })
    expect((await callWith(port, key, 'POST', '/v1/jobs', job)).status).toBe(202)
    const [row] = await sql`select * from api_keys`
    expect(row?.hash).toEqual(hash('sha256', key, 'buffer'))
    expect(JSON.stringify(row)).not.toContain(key.slice(10))
    await expect.poll(async () => (await sql`select last_used_at from api_keys`)[0]?.lastUsedAt).toBeTruthy()
    const shown = await callWith(port, adminKey, 'GET', `/v1/api-keys/${view.id}`)
    expect(shown.body).toEqual({ ...view, lastUsedAt: expect.any(String) })
    expect((await callWith(port, adminKey, 'GET', '/v1/api-keys')).body).toEqual({ items: [shown.body] })
  })

  it('is refused at once where it was revoked, and everybody is told the same as of one that never was', async () => {
    const { port } = await listen()
    const { id, key } = await makeKey(port, { role: 'reader' })
    expect((await callWith(port, key, 'GET', '/v1/jobs')).status).toBe(200)
    expect((await callWith(port, adminKey, 'DELETE', `/v1/api-keys/${id}`)).status).toBe(204)
    const refused = await callWith(port, key, 'GET', '/v1/jobs')
    expect(refused.status).toBe(401)
    expect(refused.body).toEqual((await callWith(port, `jy_${'x'.repeat(43)}`, 'GET', '/v1/jobs')).body)
    expect((await callWith(port, adminKey, 'DELETE', `/v1/api-keys/${id}`)).status).toBe(404)
  })

  it('is refused from the moment of its expiry by the clock of Postgres, and says so', async () => {
    const { port, sql } = await listen()
    const { key } = await makeKey(port, { expiresAt: new Date(Date.now() + 60_000).toISOString() })
    expect((await callWith(port, key, 'GET', '/v1/jobs')).status).toBe(200)
    await sql`update api_keys set expires_at = statement_timestamp() - interval '1 ms'`
    await expect
      .poll(() => callWith(port, key, 'GET', '/v1/jobs'), { timeout: 5_000 })
      .toMatchObject({
        status: 401,
        body: { detail: expect.stringMatching(/has expired/) },
      })
  })

  it.each([
    ['a name of nothing', { name: '', role: 'reader' }, 'name'],
    ['a name with a line break', { name: 'a\nb', role: 'reader' }, 'name'],
    ['a role that is none', { name: 'a', role: 'root' }, 'role'],
    ['a tenant that is no name', { name: 'a', role: 'reader', tenant: '../default' }, 'tenant'],
    ['an expiry that has passed', { name: 'a', role: 'reader', expiresAt: '2001-01-01T00:00:00Z' }, 'expiresAt'],
    ['a field that is none', { name: 'a', role: 'reader', key: 'jy_mine' }, ''],
  ])('is not made with %s', async (_what, body, path) => {
    const { port, sql } = await listen()
    const answer = await callWith(port, adminKey, 'POST', '/v1/api-keys', body)
    expect([answer.status, answer.body.errors?.[0]?.path]).toEqual([422, path])
    expect(await sql`select from api_keys`).toHaveLength(0)
  })
})

describe('Admins', () => {
  it('of a tenant make, see and revoke keys of their own tenant only', async () => {
    const { port } = await listen()
    const [mine, theirs] = await Promise.all([makeKey(port, { tenant: 'a' }), makeKey(port, { tenant: 'b' })])
    const as = (method: string, path: string, body?: object) => callWith(port, mine.key, method, path, body)
    expect((await as('POST', '/v1/api-keys', { name: 'x', role: 'reader', tenant: 'b' })).status).toBe(403)
    const made = await as('POST', '/v1/api-keys', { name: 'x', role: 'reader', tenant: 'a' })
    expect(made).toMatchObject({ status: 201, body: { tenant: 'a' } })
    expect((await as('GET', '/v1/api-keys')).body.items.map(({ id }: { id: string }) => id)).toEqual([
      made.body.id,
      mine.id,
    ])
    expect((await as('GET', `/v1/api-keys/${theirs.id}`)).status).toBe(404)
    expect((await as('DELETE', `/v1/api-keys/${theirs.id}`)).status).toBe(404)
    expect((await callWith(port, theirs.key, 'GET', '/v1/jobs')).status).toBe(200)
  })

  it('of the tenant default make none for others either, unless they hold JOBYARD_ADMIN_KEY', async () => {
    const { port } = await listen()
    const { key } = await makeKey(port)
    const wanted = { name: 'x', role: 'reader', tenant: 'b' }
    expect((await callWith(port, key, 'POST', '/v1/api-keys', wanted)).status).toBe(403)
    expect((await callWith(port, adminKey, 'POST', '/v1/api-keys', wanted)).status).toBe(201)
    expect((await callWith(port, adminKey, 'GET', '/v1/api-keys')).body.items).toHaveLength(2)
    expect((await callWith(port, key, 'GET', '/v1/api-keys')).body.items).toHaveLength(1)
  })

  it('page through their keys', async () => {
    const { port } = await listen()
    const ids = []
    for (let count = 0; count < 3; count++) ids.unshift((await makeKey(port)).id)
    const first = await callWith(port, adminKey, 'GET', '/v1/api-keys?limit=2')
    const { nextCursor } = first.body
    const second = await callWith(port, adminKey, 'GET', `/v1/api-keys?limit=2&cursor=${nextCursor}`)
    expect([...first.body.items, ...second.body.items].map(({ id }) => id)).toEqual(ids)
    expect(second.body).not.toHaveProperty('nextCursor')
  })
})
