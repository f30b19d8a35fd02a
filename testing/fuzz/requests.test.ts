import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Route } from '../conformance.ts'
import { Requests } from './requests.ts'

it('A parameter that is a deep object is written field by field', () => {
  const schema = { type: 'object', additionalProperties: { type: 'string', maxLength: 20 } }
  const route = {
    method: 'GET',
    path: '/v1/jobs',
    operation: { parameters: [{ in: 'query', name: 'metadata', style: 'deepObject', schema }], responses: {} },
  } as unknown as Route
  const requests = new Requests({ paths: {}, components: {} }).to([route])
  const urls = fc.sample(requests, { numRuns: 300, seed: 1 }).map(({ url }) => url)
  expect(urls.filter((url) => /[?&]metadata\[[^\]]*\]=/.test(url)).length).toBeGreaterThan(10)
  expect(urls.filter((url) => url.includes('metadata=%7B'))).toEqual([])
})
