import { promisify } from 'node:util'
import { newId } from '@jobyard/db/ids'
import { describe, expect, it } from 'vitest'
import { callWith, makeKey } from '../testing/keys.ts'
import { listen } from '../testing/listening-api.ts'
import { adminKey } from '../testing/platform.ts'

const schedule = { type: 'echo', input: { value: 'secret-input' }, cron: '0 3 * * *', timeZone: 'UTC' }

async function openLog() {
  const { port, sql, app } = await listen()
  const as = (key: string) => (method: string, path: string, body?: object) => callWith(port, key, method, path, body)
  const entries = async (query = '') => (await as(adminKey)('GET', `/v1/audit-log${query}`)).body.items
  const settled = async (count: number) => {
    await expect
      .poll(async () => (await sql`select from audit_log where outcome is not null`).length, { timeout: 5_000 })
      .toBe(count)
    return entries()
  }
  return { app, port, sql, as, asAdmin: as(adminKey), entries, settled }
}

describe('The audit log', () => {
  it('has who asked for what, when, from where, and what came of it; the newest first', async () => {
    const { port, as, asAdmin, settled } = await openLog()
    const { id, key } = await makeKey(port, { role: 'operator' })
    await as(key)('PUT', '/v1/schedules/nightly', schedule)
    await as(key)('POST', '/v1/schedules/nobody/pause')
    await asAdmin('DELETE', `/v1/api-keys/${id}`)
    const entries = await settled(4)
    const common = { id: expect.any(String), address: '127.0.0.1', askedAt: expect.any(String) }
    expect(entries).toEqual([
      { ...common, actor: 'admin', action: 'revokeApiKey', target: `${id} operator of default: test`, outcome: 204 },
      { ...common, actor: id, action: 'pauseSchedule', target: 'nobody', outcome: 404 },
      { ...common, actor: id, action: 'putSchedule', target: 'nightly', outcome: 201 },
      { ...common, actor: 'admin', action: 'createApiKey', target: `${id} operator of default: test`, outcome: 201 },
    ])
    expect(JSON.stringify(entries)).not.toMatch(/secret-input|jy_/)
  })

  it('has nothing of reads, submissions, dry runs, previews, and of those who were refused', async () => {
    const { port, as, asAdmin, sql } = await openLog()
    const { key } = await makeKey(port, { role: 'submitter' })
    await asAdmin('GET', '/v1/jobs')
    await asAdmin('POST', '/v1/jobs', { type: 'echo', input: { value: 1 } })
    await asAdmin('POST', '/v1/schedules/preview', { cron: '0 3 * * *', timeZone: 'UTC' })
    expect(
      (await asAdmin('POST', '/v1/deliveries/redeliver', { dryRun: true, since: '2026-01-01T00:00:00Z' })).status,
    ).toBe(200)
    expect((await as(key)('PUT', '/v1/schedules/nightly', schedule)).status).toBe(403)
    expect((await asAdmin('PUT', '/v1/schedules/nightly', { ...schedule, cron: 5 })).status).toBe(422)
    expect((await sql`select action from audit_log`).map(({ action }) => action)).toEqual(['createApiKey'])
  })

  it('has what was made, and how much was made again', async () => {
    const { asAdmin, settled } = await openLog()
    const { body } = await asAdmin('POST', '/v1/endpoints', { url: 'https://example.com/' })
    await asAdmin('POST', '/v1/jobs/redrive', { filter: { type: 'echo' } })
    await asAdmin('POST', '/v1/deliveries/redeliver', { since: '2026-01-01T00:00:00Z' })
    expect((await settled(3)).map(({ action, target }: Record<string, string>) => [action, target])).toEqual([
      ['redeliverMany', '0 deliveries'],
      ['redriveJobs', '0 jobs'],
      ['createEndpoint', body.id],
    ])
  })

  it('lets nobody pass as a dry run on a route that has none', async () => {
    const { app, port, sql } = await openLog()
    const shown = { bearer: `Bearer ${adminKey}`, basic: `Basic ${Buffer.from(`me:${adminKey}`).toString('base64')}` }
    const changing = app.declaredRoutes.filter(
      ({ method, config: { role } }) =>
        !['GET', 'HEAD', 'OPTIONS'].includes(method) && (role === 'operator' || role === 'admin'),
    )
    expect(changing.length).toBeGreaterThan(30)
    const passed: string[] = []
    for (const { method, url, config } of changing) {
      await sql`truncate audit_log`
      const path = url.replaceAll(/:\w+/g, newId()).replace('*', 'x')
      const authorization = shown[config.authentication ?? 'bearer']
      const { status } = await callWith(port, undefined, method, path, { dryRun: true }, { authorization })
      const wasRefusedBefore = status === 422 || status === 415
      if (!wasRefusedBefore && (await sql`select from audit_log`).length === 0)
        passed.push(`${method} ${url} ${status}`)
    }
    expect(passed).toEqual([])
  })

  it('has the outcome of what was asked for by who has gone', async () => {
    const { app, port, sql, settled } = await openLog()
    const release = Promise.withResolvers<void>()
    const locked = Promise.withResolvers<void>()
    const holding = sql.begin(async (tx) => {
      await tx`lock table api_keys`
      locked.resolve()
      await release.promise
    })
    await locked.promise
    const gone = new AbortController()
    const asked = fetch(`http://127.0.0.1:${port}/v1/api-keys`, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'x', role: 'reader' }),
      signal: gone.signal,
    })
    await expect.poll(async () => (await sql`select from audit_log`).length).toBe(1)
    gone.abort()
    await expect(asked).rejects.toThrow('abort')
    const connections = promisify(app.server.getConnections.bind(app.server))
    await expect.poll(() => connections()).toBe(0)
    release.resolve()
    await holding
    expect((await settled(1))[0]).toMatchObject({ action: 'createApiKey', outcome: 201 })
  })

  it('narrows to an action and to who asked, and pages', async () => {
    const { port, as, asAdmin, entries, settled } = await openLog()
    const { id, key } = await makeKey(port, { role: 'operator' })
    for (const name of ['a', 'b', 'c']) await as(key)('PUT', `/v1/schedules/${name}`, schedule)
    await asAdmin('DELETE', '/v1/schedules/a')
    await settled(5)
    const targets = (items: { target: string }[]) => items.map(({ target }) => target)
    expect(targets(await entries('?action=putSchedule'))).toEqual(['c', 'b', 'a'])
    expect(targets(await entries(`?actor=${id}`))).toEqual(['c', 'b', 'a'])
    expect(targets(await entries('?actor=admin&action=deleteSchedule'))).toEqual(['a'])
    const { body } = await asAdmin('GET', '/v1/audit-log?limit=2&action=putSchedule')
    const rest = await entries(`?limit=2&action=putSchedule&cursor=${body.nextCursor}`)
    expect([...targets(body.items), ...targets(rest)]).toEqual(['c', 'b', 'a'])
  })

  it('looks at a bounded number of entries for a page, and goes on from there', async () => {
    const { asAdmin, sql } = await openLog()
    await asAdmin('PUT', '/v1/schedules/nightly', schedule)
    await sql`
      insert into audit_log (id, tenant, actor, action, target, address, asked_at)
      select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'default', 'admin', case when n = 1 then 'rare' else 'usual' end, '',
        '', now() from generate_series(1, 10000) as n`
    const first = await asAdmin('GET', '/v1/audit-log?action=rare')
    expect(first.body).toEqual({ items: [], nextCursor: expect.any(String) })
    const second = await asAdmin('GET', `/v1/audit-log?action=rare&cursor=${first.body.nextCursor}`)
    expect(second.body).toEqual({ items: [expect.objectContaining({ action: 'rare' })] })
  })

  it('is written first: what cannot be written down is not done', async () => {
    const { asAdmin, sql } = await openLog()
    await sql.unsafe(`
      create function fill() returns trigger language plpgsql as $$ begin raise exception using errcode = '53100'; end $$;
      create trigger fill before insert on audit_log execute function fill()`)
    const refused = await asAdmin('PUT', '/v1/schedules/nightly', schedule)
    expect(refused).toMatchObject({
      status: 503,
      body: { detail: expect.stringMatching(/audit log.*nothing of it was stored/) },
    })
    expect(await sql`select from schedules`).toHaveLength(0)
    await sql`drop function fill cascade`
    expect((await asAdmin('PUT', '/v1/schedules/nightly', schedule)).status).toBe(201)
  })

  it('keeps an entry without an outcome while there is none, and adds one that could not be written at first', async () => {
    const { asAdmin, entries, sql, settled } = await openLog()
    await sql.unsafe(`
      create function fill() returns trigger language plpgsql as $$ begin raise exception using errcode = '53100'; end $$;
      create trigger fill before update on audit_log execute function fill()`)
    await asAdmin('PUT', '/v1/schedules/nightly', schedule)
    const [entry] = await entries()
    expect(entry).toMatchObject({ action: 'putSchedule' })
    expect(entry).not.toHaveProperty('outcome')
    await sql`drop function fill cascade`
    expect((await settled(1))[0]).toMatchObject({ outcome: 201 })
  })

  it("has the board's calls too", async () => {
    const { port, settled } = await openLog()
    const authorization = `Basic ${Buffer.from(`me:${adminKey}`).toString('base64')}`
    const answer = await callWith(port, undefined, 'PUT', '/board/api/queues/default/pause', undefined, {
      authorization,
    })
    expect(answer.status).toBe(200)
    const [entry] = await settled(1)
    expect(entry).toMatchObject({
      actor: 'admin',
      action: 'PUT /board/api/queues/:queueName/pause',
      target: 'default',
      outcome: 200,
    })
  })

  it('keeps names that would mislead who reads it, or that Postgres refuses, to the letter they can have', async () => {
    const { asAdmin, settled } = await openLog()
    expect((await asAdmin('POST', `/v1/jobs/${encodeURIComponent('a\0\n\u202e')}/cancel`)).status).toBe(404)
    expect((await settled(1))[0]).toMatchObject({ target: 'a\ufffd\ufffd\ufffd', outcome: 404 })
  })
})
