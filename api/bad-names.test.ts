import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newId } from '@jobyard/db/ids'
import { expectProblem, openEdge, post, request, type Edge } from '../testing/edge.ts'
import { describeOnBothCarriers } from '../testing/platform.ts'

const ids = [
  '%00',
  '%0d%0aset-cookie:%20x',
  '..%2f..%2fetc%2fpasswd',
  'a%2fb',
  '__proto__',
  'constructor',
  'NaN',
  'null',
  '-1',
  '0',
  '%20',
  '%E2%80%AE',
  "'%3B--",
  '*',
  '00000000-0000-4000-8000-000000000000',
  newId().toUpperCase(),
  newId(),
  'x'.repeat(5_000),
]
const places = [
  'GET /v1/jobs/:id',
  'GET /v1/jobs/:id/events',
  'POST /v1/jobs/:id/cancel',
  'POST /v1/jobs/:id/redrive',
  'GET /v1/endpoints/:id',
  'DELETE /v1/endpoints/:id',
  'POST /v1/endpoints/:id/test',
  'GET /v1/deliveries/:id',
  'POST /v1/deliveries/:id/redeliver',
  'GET /v1/queues/:id',
  'POST /v1/queues/:id/pause',
  'GET /v1/schedules/:id',
  'DELETE /v1/schedules/:id',
  'POST /v1/schedules/:id/pause',
  'POST /v1/schedules/:id/trigger',
  'GET /v1/schedules/:id/occurrences',
]
const lists = ['/v1/jobs', '/v1/endpoints', '/v1/deliveries', '/v1/schedules', `/v1/schedules/x/occurrences`]
const queries = [
  'limit=0',
  'limit=-1',
  'limit=1e9',
  'limit=201',
  'limit=1.5',
  'limit=',
  'limit=%00',
  'limit=1&limit=2',
  'sort=;drop',
  'status[$ne]=x',
  '__proto__=x',
  'constructor=x',
  `${'a'.repeat(5_000)}=1`,
  Array.from({ length: 500 }, (_, index) => `a${index}=1`).join('&'),
]

describeOnBothCarriers('Names of what is not there', (kind) => {
  let edge: Edge
  beforeAll(async () => {
    edge = await openEdge(kind)
  })
  afterAll(() => edge.stop())

  it.each(places)('%s is answered 404 whatever its name', async (place) => {
    const before = await edge.left()
    for (const id of ids) {
      const answer = await edge.send(request(place.replace(':id', id)))
      expectProblem(answer, 404, 'not-found', /There is no/)
      expect(answer.headers).not.toHaveProperty('set-cookie')
    }
    expect(await edge.left()).toEqual(before)
  })

  it.each(lists)('%s refuses what is no page or filter', async (path) => {
    for (const query of queries)
      expectProblem(await edge.send(request(`GET ${path}?${query}`)), 422, 'validation-failed', /querystring/)
    for (const cursor of ['abc', '%00', 'x'.repeat(60), newId()])
      expectProblem(await edge.send(request(`GET ${path}?cursor=${cursor}`)), 400, 'invalid-cursor', /nextCursor/)
  })

  it('reads the heads of what can be read', async () => {
    const answer = await edge.send(request('HEAD /v1/jobs'))
    expect(answer).toMatchObject({ status: 200, body: '', headers: { 'content-type': expect.stringMatching(/json/) } })
  })

  it.each([
    ['a job type', '/v1/jobs', '{"type":"ecko","input":{}}', 422, 'unknown-job-type', /Known types: echo/],
    [
      'an internal job type',
      '/v1/jobs',
      '{"type":"webhook.deliver","input":{}}',
      422,
      'unknown-job-type',
      /Known types/,
    ],
    [
      'a job type of 255 characters',
      '/v1/jobs',
      `{"type":"${'x'.repeat(255)}","input":{}}`,
      422,
      'unknown-job-type',
      /Known/,
    ],
    ['a queue', '/v1/queues/none/resume', '', 404, 'not-found', /\/v1\/queues/],
    ['a schedule', '/v1/schedules/none/trigger', '', 404, 'not-found', /\/v1\/schedules/],
  ] as const)('never makes %s that is not known', async (_what, path, body, status, problem, sentence) => {
    const before = await edge.left()
    const answer = await edge.send(body ? post(path, body) : request(`POST ${path}`))
    expectProblem(answer, status, problem, sentence)
    expect(await edge.left()).toEqual(before)
  })
})

describe.each([[[]], [['https://app.example']]])(
  'Methods that a path does not have, with CORS for %j',
  (corsOrigins) => {
    let edge: Edge
    beforeAll(async () => {
      edge = await openEdge('postgres', { corsOrigins })
    })
    afterAll(() => edge.stop())

    it.each([
      ['PUT', '/v1/jobs/x', 'GET, HEAD'],
      ['DELETE', `/v1/jobs/${newId()}`, 'GET, HEAD'],
      ['PATCH', '/v1/jobs', 'GET, HEAD, POST'],
      ['GET', '/v1/queues/default/pause', 'POST'],
      ['POST', '/livez', 'GET, HEAD'],
      ['POST', '/openapi.json', 'GET, HEAD'],
      ['TRACE', '/v1/jobs', 'GET, HEAD, POST'],
      ['PROPFIND', '/v1/endpoints', 'GET, HEAD, POST'],
      ['HEAD', '/v1/events', 'GET'],
      ['DELETE', '/v1/jobs?limit=1', 'GET, HEAD, POST'],
    ])('%s %s is answered 405 with what it may be', async (method, path, allow) => {
      const answer = await edge.send(request(`${method} ${path}`))
      expect(answer.headers.allow?.split(', ').toSorted().join(', ')).toBe(allow)
      expect(answer.status).toBe(405)
      if (method !== 'HEAD') expectProblem(answer, 405, 'method-not-allowed', /Send .*GET|Send POST/)
    })

    it('tells which methods a path has', async () => {
      const answer = await edge.send(request('OPTIONS /v1/jobs'))
      expect(answer).toMatchObject({ status: 204, body: '' })
      expect(answer.headers.allow).toMatch(/GET.*POST|POST.*GET/)
      expectProblem(await edge.send(request('OPTIONS /v2/jobs')), 404, 'not-found', /nothing at/)
    })

    it.each(['GET', 'POST', 'DELETE'])('%s where there is nothing is answered 404', async (method) => {
      expectProblem(await edge.send(request(`${method} /v2/jobs`)), 404, 'not-found', /nothing at/)
    })
  },
)
