import { newId } from '@jobyard/db/ids'
import { parseAllowList } from '@jobyard/outbound/address-rules'
import { describe, expect, it } from 'vitest'
import { expectJobs, openStage } from '../testing/event-stage.ts'
import { callWith, makeKey } from '../testing/keys.ts'
import { listen } from '../testing/listening-api.ts'

const job = { type: 'echo', input: { value: 1 } }
const url = 'http://127.0.0.1:9/'
const yesterday = new Date(Date.now() - 86_400_000).toISOString()

/** What a tenant owns, by the beginning of the routes that name it. */
interface Belongings {
  readonly jobs: string
  readonly endpoints: string
  readonly deliveries: string
  readonly schedules: string
  readonly 'api-keys': string
}

/** Every route with an id or a name in it, with the body that it needs. */
const routes: Readonly<Record<string, object | undefined>> = {
  'GET /v1/jobs/:id': undefined,
  'POST /v1/jobs/:id/cancel': undefined,
  'POST /v1/jobs/:id/redrive': undefined,
  'GET /v1/jobs/:id/events': undefined,
  'GET /v1/endpoints/:id': undefined,
  'PATCH /v1/endpoints/:id': { description: 'mine' },
  'DELETE /v1/endpoints/:id': undefined,
  'POST /v1/endpoints/:id/rotate-secret': {},
  'POST /v1/endpoints/:id/test': undefined,
  'POST /v1/endpoints/:id/enable': undefined,
  'POST /v1/endpoints/:id/disable': undefined,
  'POST /v1/endpoints/:id/replay': { since: yesterday },
  'GET /v1/deliveries/:id': undefined,
  'POST /v1/deliveries/:id/redeliver': undefined,
  'GET /v1/schedules/:name': undefined,
  'DELETE /v1/schedules/:name': undefined,
  'POST /v1/schedules/:name/pause': undefined,
  'POST /v1/schedules/:name/resume': undefined,
  'POST /v1/schedules/:name/trigger': undefined,
  'GET /v1/schedules/:name/occurrences': undefined,
  'GET /v1/api-keys/:id': undefined,
  'DELETE /v1/api-keys/:id': undefined,
}
/** A name that another tenant uses is free for this one. */
const ownNames = ['PUT /v1/schedules/:name']
const lists = ['jobs', 'endpoints', 'deliveries', 'schedules', 'api-keys', 'audit-log'].map((each) => `/v1/${each}`)
/** What all tenants share: the names are those of the installation. */
const shared = ['GET /v1/queues/:name', 'POST /v1/queues/:name/pause', 'POST /v1/queues/:name/resume']
const sharedLists = ['/v1/queues', '/v1/job-types']
const streams = ['/v1/events']

/** An API, an admin of each of two tenants, and what the second one owns. */
async function openTwoTenants() {
  const { app, port, sql } = await listen({ outboundAllow: parseAllowList('127.0.0.1:9') })
  const [mine, theirs] = await Promise.all([makeKey(port, { tenant: 'a' }), makeKey(port, { tenant: 'b' })])
  const as = (key: string) => (method: string, path: string, body?: object, headers?: Record<string, string>) =>
    callWith(port, key, method, path, body, headers)
  const [asMe, asThem] = [as(mine.key), as(theirs.key)]
  const made = async (method: string, path: string, body?: object) => {
    const answer = await asThem(method, path, body)
    if (answer.status >= 300) throw new Error(`${path} was answered with ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  const endpoint = await made('POST', '/v1/endpoints', { url })
  await made('PUT', '/v1/schedules/nightly', { ...job, cron: '0 3 * * *', timeZone: 'UTC' })
  const belongings: Belongings = {
    jobs: (await made('POST', '/v1/jobs', job)).id,
    endpoints: endpoint.id,
    deliveries: (await made('POST', `/v1/endpoints/${endpoint.id}/test`)).id,
    schedules: 'nightly',
    'api-keys': theirs.id,
  }
  const kinds = Object.keys(belongings) as (keyof Belongings)[]
  const looks = async () =>
    Promise.all(kinds.map(async (kind) => (await asThem('GET', `/v1/${kind}/${belongings[kind]}`)).body))
  const nameOf = (path: string) => belongings[kinds.find((kind) => path.includes(`/v1/${kind}/`))!]
  return { app, sql, asMe, asThem, looks, nameOf }
}

describe('A tenant', () => {
  it('has a test for every route that names something', async () => {
    const { app } = await listen()
    const naming = app.declaredRoutes.filter(({ url: path, method }) => path.startsWith('/v1/') && method !== 'HEAD')
    const names = naming
      .filter(({ url: path }) => path.includes(':'))
      .map(({ method, url: path }) => `${method} ${path}`)
    expect(names.toSorted()).toEqual([...Object.keys(routes), ...ownNames, ...shared].toSorted())
    const listing = naming.filter(({ method, url: path }) => method === 'GET' && !path.includes(':'))
    expect(listing.map(({ url: path }) => path).toSorted()).toEqual([...lists, ...sharedLists, ...streams].toSorted())
  })

  it("finds nothing by another's ids and names, as if they did not exist, and changes nothing", async () => {
    const { asMe, looks, nameOf } = await openTwoTenants()
    const before = await looks()
    for (const [route, body] of Object.entries(routes)) {
      const [method = '', path = ''] = route.split(' ')
      const ask = (name: string) => asMe(method, path.replace(/:\w+/, name), body)
      const [theirs, nobodys] = [await ask(nameOf(path)), await ask(path.includes(':name') ? 'unknown' : newId())]
      expect([route, theirs.status, theirs.body.title]).toEqual([route, 404, nobodys.body.title])
    }
    expect(await looks()).toEqual(before)
  })

  it('is shown nothing of another in its lists', async () => {
    const { asMe, asThem } = await openTwoTenants()
    for (const path of lists) {
      const own = path === '/v1/api-keys' ? 1 : 0
      const asked = [
        path,
        (await asMe('GET', path)).body.items.length,
        (await asThem('GET', path)).body.items.length > 0,
      ]
      expect(asked).toEqual([path, own, true])
    }
  })

  it('may use the same names of schedules and idempotency keys', async () => {
    const { asMe, asThem, looks } = await openTwoTenants()
    const before = await looks()
    const schedule = { ...job, cron: '0 4 * * *', timeZone: 'UTC' }
    expect((await asMe('PUT', '/v1/schedules/nightly', schedule)).status).toBe(201)
    expect(await looks()).toEqual(before)
    const submit = (as: typeof asMe) => as('POST', '/v1/jobs', job, { 'idempotency-key': 'one' })
    const [mine, theirs] = [await submit(asMe), await submit(asThem)]
    expect([mine.status, theirs.status]).toEqual([202, 202])
    expect(theirs.headers.get('idempotency-replayed')).toBeNull()
    expect((await submit(asMe)).body.id).toBe(mine.body.id)
    expect(mine.body.id).not.toBe(theirs.body.id)
  })

  it('is told of no event of another, new or old', async () => {
    const stage = await openStage()
    const { port, open } = await stage.api()
    const { key } = await makeKey(port, { role: 'reader', tenant: 'a' })
    const headers = { authorization: `Bearer ${key}` }
    const live = await open('/v1/events', headers)
    const [, first, , second] = await stage.end({ tenant: 'b' }, { tenant: 'a' }, {}, { tenant: 'a' }, { tenant: 'b' })
    await expectJobs(live, [first!, second!])
    const resumed = await open('/v1/events?lastEventId=0', headers)
    await expectJobs(resumed, [first!, second!])
    const [last] = await stage.end({ tenant: 'a' })
    await expectJobs(live, [first!, second!, last!])
  })
})
