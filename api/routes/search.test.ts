import { adminKey } from '@jobyard/testing/platform'
import { listen, type ListeningApi } from '@jobyard/testing/listening-api'
import { beforeEach, expect, it } from 'vitest'

let api: ListeningApi
beforeEach(async () => {
  api = await listen()
})

const authorization = `Bearer ${adminKey}`

async function call(method: 'GET' | 'POST', url: string, payload?: object) {
  const answer = await api.app.inject({ method, url, headers: { authorization }, ...(payload && { payload }) })
  return { status: answer.statusCode, body: answer.json() }
}

async function submit(more: object): Promise<string> {
  const { body } = await call('POST', '/v1/jobs', { type: 'echo', input: { value: 1 }, ...more })
  return body.id
}

async function find(query: string): Promise<string[]> {
  const { status, body } = await call('GET', `/v1/jobs?${query}`)
  expect(status).toBe(200)
  return body.items.map(({ id }: { id: string }) => id)
}

it('Jobs are found by tag, field of metadata, type and status at once', async () => {
  const one = await submit({ tags: ['a'], metadata: { customer: '42' } })
  const other = await submit({ tags: ['a'], metadata: { customer: 42, plan: 'pro & more' } })
  await submit({ metadata: { customer: 43 } })
  expect(await find('metadata[customer]=42')).toEqual([other, one])
  expect(await find('metadata%5Bcustomer%5D=42&metadata%5Bplan%5D=pro+%26+more')).toEqual([other])
  expect(await find('tag=a&status=queued&type=echo&metadata[customer]=42&limit=1')).toEqual([other])
  await call('POST', `/v1/jobs/${one}/cancel`)
  expect(await find('tag=a&status=cancelled')).toEqual([one])
})

it('A listing that is narrowed by metadata goes on at its cursor', async () => {
  const ids: string[] = []
  for (let n = 0; n < 5; n++) ids.push(await submit({ metadata: { batch: 'x' } }))
  const first = await call('GET', '/v1/jobs?metadata[batch]=x&limit=3')
  expect(first.body.items.map(({ id }: { id: string }) => id)).toEqual(ids.slice(2).toReversed())
  const second = await call('GET', `/v1/jobs?metadata[batch]=x&limit=3&cursor=${first.body.nextCursor}`)
  expect(second.body.items.map(({ id }: { id: string }) => id)).toEqual(ids.slice(0, 2).toReversed())
  expect(second.body.nextCursor).toBeUndefined()
})

it.each([
  ['status[$ne]=x', 'status\\[\\$ne\\]'],
  ['metadata=x', 'metadata'],
  ['metadata[]=x', 'metadata\\[\\]'],
  ['metadata=x&metadata[a]=b', 'metadata\\[field\\]=value'],
  ['metadata[__proto__]=x', 'metadata.__proto__'],
  ['metadata[a]=b&metadata[__proto__]=x', 'metadata.__proto__'],
  ['metadata[a]=1&metadata[a]=2', 'metadata.a'],
  [`metadata[a]=${'x'.repeat(201)}`, 'metadata.a'],
  ['metadata[a]=1&metadata[b]=1&metadata[c]=1&metadata[d]=1&metadata[e]=1&metadata[f]=1', '5 fields'],
  ['createdAfter=yesterday', 'createdAfter'],
  ['tag=%00', ''],
])('A parameter that means nothing is refused: %s', async (query, named) => {
  const { status, body } = await call('GET', `/v1/jobs?${query}`)
  expect(status).toBe(422)
  expect(JSON.stringify(body)).toMatch(new RegExp(named))
})

it('The parameter for metadata is described as a deep object', async () => {
  const { body } = await call('GET', '/openapi.json')
  const parameters = body.paths['/v1/jobs'].get.parameters as { name: string }[]
  expect(parameters.find(({ name }) => name === 'metadata')).toMatchObject({
    in: 'query',
    style: 'deepObject',
    explode: true,
    schema: { type: 'object', additionalProperties: { type: 'string' } },
  })
})
