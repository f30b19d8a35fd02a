import { createConfig, lintFromString } from '@redocly/openapi-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Conformance, routesOf, type Route } from '../testing/conformance.ts'
import { openEdge, type Edge } from '../testing/edge.ts'
import { adminKey } from '../testing/platform.ts'
import type { Document } from './openapi/document.ts'

let edge: Edge
let document: Document
beforeAll(async () => {
  edge = await openEdge('postgres')
  document = (await edge.app.inject('/openapi.json')).json()
})
afterAll(() => edge.stop())

/** Operations that speak of something else than one thing of their own. */
const withBody = () => routesOf(document).filter(({ operation }) => operation.requestBody)

async function call(method: string, url: string, type: string, payload: string) {
  const headers = { authorization: `Bearer ${adminKey}`, 'content-type': type }
  const {
    statusCode,
    headers: answered,
    body,
  } = await edge.app.inject({ method: method as 'POST', url, headers, payload })
  return { status: statusCode, contentType: answered['content-type']?.toString(), location: answered.location, body }
}

it('Is an OpenAPI document that a linter finds nothing in', async () => {
  const config = await createConfig({
    extends: ['recommended-strict'],
    // 405 is the answer of no operation, and the board's login is described for those who read the document
    rules: { 'no-unused-components': 'off' },
  })
  const problems = await lintFromString({ source: JSON.stringify(document), config, absoluteRef: '/openapi.json' })
  expect(problems.map(({ ruleId, message, location: [place] }) => `${ruleId} ${place?.pointer} ${message}`)).toEqual([])
})

it('Names, sorts and describes every call', () => {
  const known = (document as unknown as { tags: { name: string }[] }).tags.map(({ name }) => name)
  const ids = routesOf(document).map(({ operation }) => operation.operationId)
  expect(new Set(ids).size).toBe(ids.length)
  for (const { operation } of routesOf(document))
    expect(operation).toMatchObject({
      operationId: expect.stringMatching(/^[a-z][A-Za-z]+$/),
      summary: expect.stringMatching(/^[A-Z].*[^.]$/),
      tags: [expect.toBeOneOf(known)],
    })
})

it('Says of each call who may make it', () => {
  for (const { path, operation } of routesOf(document))
    if (operation.security?.length === 0) expect(path).toMatch(/^\/(livez|readyz)$/)
    else
      expect(operation).toMatchObject({
        description: expect.stringMatching(/Role: (reader|submitter|operator|admin)\.$/),
      })
})

it('Describes the same answers for what is not allowed', () => {
  for (const { method, path, operation } of routesOf(document)) {
    const statuses = Object.keys(operation.responses)
    expect(statuses, `${method} ${path}`).toEqual(expect.arrayContaining(['400', '431']))
    if (path.startsWith('/v1')) expect(statuses).toEqual(expect.arrayContaining(['401', '403', '429', '503']))
    if (path.includes('{')) expect(statuses).toContain('404')
    for (const status of statuses.filter((each) => Number(each) >= 400 && !(path === '/readyz' && each === '503')))
      expect(operation.responses[status]).toEqual({ $ref: `#/components/responses/Problem${status}` })
  }
})

it('Shows examples of every body, which are answered as it says', async () => {
  const conformance = new Conformance(document)
  const endpoint = await call('POST', '/v1/endpoints', 'application/json', '{"url":"https://example.com/"}')
  await call('PUT', '/v1/schedules/tick', 'application/json', '{"type":"echo","input":{"value":1},"everyMs":60000}')
  const names: Record<string, string> = {
    endpoints: String(endpoint.location).split('/').at(-1) ?? '',
    schedules: 'tick',
  }
  let sent = 0
  for (const route of withBody())
    for (const [type, { examples }] of Object.entries(route.operation.requestBody?.content ?? {})) {
      expect(examples, `examples of ${route.operation.operationId}`).toBeDefined()
      for (const [name, { value }] of Object.entries(examples ?? {})) {
        const answer = await call(route.method, urlOf(route, names), type, JSON.stringify(value))
        expect(answer.status, `${route.operation.operationId}, ${name}: ${answer.body}`).toBeLessThan(300)
        expect(conformance.complaint(route, answer)).toBeUndefined()
        sent++
      }
    }
  expect(sent).toBeGreaterThanOrEqual(withBody().length)
})

function urlOf({ path }: Route, names: Record<string, string>): string {
  return path.replace(/\{\w+\}/, names[path.split('/')[2] ?? ''] ?? '')
}
