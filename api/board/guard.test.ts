import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keeper } from '../callers/caller.ts'
import { unknownKey } from '../callers/refusals.ts'
import { boardGuard } from './guard.ts'

const key = 'the admin key: with a colon, 32+ chars'
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
const authorization = basic(`anybody:${key}`)

let app: FastifyInstance
beforeAll(() => {
  app = Fastify()
  const whoShows = (shown: string) => {
    if (shown === key) return keeper
    throw unknownKey()
  }
  app.addHook('onRequest', boardGuard(whoShows))
  app.route({ method: ['GET', 'PUT'], url: '/', handler: async () => 'inside' })
})
afterAll(() => app.close())

const ask = async (headers: Record<string, string>, method: 'GET' | 'PUT' = 'GET') =>
  app.inject({ method, url: '/', headers })

describe('the password', () => {
  it.each([
    ['any user name', authorization],
    ['no user name', basic(`:${key}`)],
    ['another spelling of the scheme', authorization.replace('Basic', 'basic')],
  ])('opens with %s', async (_name, value) => {
    expect(await ask({ authorization: value })).toMatchObject({ statusCode: 200, body: 'inside' })
  })

  it.each([
    ['nothing', undefined],
    ['a wrong password', basic('anybody:wrong')],
    ['an empty password', basic('anybody:')],
    ['no colon', basic(key)],
    ['no base64', 'Basic %%%'],
    ['a Bearer key', `Bearer ${key}`],
  ])('is asked for again after %s', async (_name, value) => {
    const answer = await ask(value === undefined ? {} : { authorization: value })
    expect(answer.statusCode).toBe(401)
    expect(answer.headers['www-authenticate']).toBe('Basic realm="jobyard board"')
    expect(answer.headers['content-type']).toContain('application/problem+json')
  })
})

describe('a request that another site caused', () => {
  it.each([
    ['GET', { 'sec-fetch-site': 'cross-site' }],
    ['GET', { 'sec-fetch-site': 'same-site' }],
    ['PUT', { 'sec-fetch-site': 'cross-site', origin: 'http://board.example' }],
    ['PUT', { origin: 'https://evil.example' }],
    ['PUT', { origin: 'null' }],
    ['PUT', { origin: 'http://board.example:81' }],
  ] as const)('is refused: %s %o', async (method, headers) => {
    expect((await ask({ ...headers, authorization, host: 'board.example' }, method)).statusCode).toBe(403)
  })

  it.each([
    ['GET', { 'sec-fetch-site': 'none' }],
    ['PUT', { 'sec-fetch-site': 'same-origin' }],
    ['PUT', { origin: 'http://board.example' }],
    ['PUT', {}],
    ['GET', { origin: 'https://evil.example' }],
  ] as const)('is not seen in %s %o', async (method, headers) => {
    expect((await ask({ ...headers, authorization, host: 'board.example' }, method)).statusCode).toBe(200)
  })
})
