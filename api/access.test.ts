import { generateKeyPairSync } from 'node:crypto'
import { newId } from '@jobyard/db/ids'
import { roles, type Role } from '@jobyard/db/api-keys'
import { SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import { makeKey } from '../testing/keys.ts'
import { listen } from '../testing/listening-api.ts'
import { adminKey } from '../testing/platform.ts'
import { readJwtSettings } from './callers/jwt-settings.ts'
import type { DeclaredRoute } from './plugins/auth.ts'

const pair = generateKeyPairSync('ed25519')
const jwt = readJwtSettings({
  JOBYARD_JWT_ISSUER: 'https://issuer.example',
  JOBYARD_JWT_AUDIENCE: 'jobyard',
  JOBYARD_JWT_PUBLIC_KEY: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
})

const sign = (claims: object, expires = '1h') =>
  new SignJWT({ ...claims })
    .setProtectedHeader({ alg: 'EdDSA' })
    .setIssuer('https://issuer.example')
    .setAudience('jobyard')
    .setSubject('somebody')
    .setExpirationTime(expires)
    .sign(pair.privateKey)
const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"tenant":"default","roles":["admin"]}').toString('base64url')}.`
const basic = (password: string) => `Basic ${Buffer.from(`me:${password}`).toString('base64')}`

interface Asked {
  readonly status: number
  readonly challenge: string | null
  readonly type: string
  readonly body: any
}

/** Sends a request over a socket and reads the head of its answer; the rest only where it is a problem. */
async function ask(port: number, method: string, path: string, authorization?: string): Promise<Asked> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: { ...(authorization && { authorization }) },
  })
  const type = answer.headers.get('content-type') ?? ''
  const isProblem = type.startsWith('application/problem+json') && method !== 'HEAD'
  const body = isProblem ? await answer.json() : await answer.body?.cancel()
  return { status: answer.status, challenge: answer.headers.get('www-authenticate'), type, body }
}

describe('Who shows nothing that is good', () => {
  it.each<[string, string | undefined, string, RegExp]>([
    ['nothing', undefined, '', /Send `Authorization: Bearer <key>`/],
    ['Basic', basic(adminKey), '', /only \/board takes HTTP Basic/],
    ['another scheme', `Digest ${adminKey}`, '', /No other scheme/],
    ['Bearer and nothing else', 'Bearer ', '', /No other scheme/],
    ['the key in the query string', undefined, `?api_key=${adminKey}`, /not read from the URL/],
    ['a wrong key', `Bearer jy_${'A'.repeat(43)}`, '', /mistyped, or it was revoked/],
    ['a word', 'Bearer word', '', /mistyped, or it was revoked/],
    ['a beginning of the admin key', `Bearer ${adminKey.slice(0, -1)}`, '', /mistyped/],
    ['rubbish for a token', 'Bearer x.y.z', '', /can be read/],
    ['a token of 12 kB', `Bearer ${'x'.repeat(12_000)}.y.z`, '', /longer than 8192 bytes/],
    ['a token that is signed by nobody', `Bearer ${unsigned}`, '', /not signed in a way/],
    ['a key with a line of the log in it', 'Bearer x{"level":60}', '', /mistyped/],
  ])('is told so: %s', async (_what, authorization, query, sentence) => {
    const { port } = await listen({ jwt })
    const answer = await ask(port, 'GET', `/v1/jobs${query}`, authorization)
    expect(answer).toMatchObject({ status: 401, type: expect.stringMatching(/^application\/problem\+json/) })
    expect(answer.body).toMatchObject({ type: expect.stringMatching(/\/unauthenticated$/) })
    expect(answer.body.detail).toMatch(sentence)
    const isNothing = authorization === undefined && query === ''
    expect(answer.challenge).toBe(`Bearer realm="jobyard"${isNothing ? '' : ', error="invalid_token"'}`)
  })

  it('is told when it is a token, and none are taken here', async () => {
    const { port } = await listen()
    const answer = await ask(port, 'GET', '/v1/jobs', `Bearer ${await sign({ tenant: 'a', roles: ['reader'] })}`)
    expect(answer).toMatchObject({ status: 401, body: { detail: expect.stringMatching(/takes no tokens/) } })
  })
})

describe('A token', () => {
  it('opens what its roles may do, until it expires', async () => {
    const { port } = await listen({ jwt })
    const asked = async (claims: object, method: string, expires?: string) =>
      (await ask(port, method, '/v1/jobs', `Bearer ${await sign(claims, expires)}`)).status
    expect(await asked({ tenant: 'a', roles: ['reader'] }, 'GET')).toBe(200)
    expect(await asked({ tenant: 'a', roles: ['reader'] }, 'POST')).toBe(403)
    expect(await asked({ tenant: 'a', roles: [] }, 'GET')).toBe(403)
    expect([401, 403]).not.toContain(await asked({ tenant: 'a', roles: ['submitter'] }, 'POST'))
    expect(await asked({ tenant: 'a', roles: ['reader'] }, 'GET', '-10s')).toBe(401)
  })
})

/** An API with a key of each role, and what asks one of its routes with a key. */
async function openWithKeys() {
  const { app, port } = await listen()
  const keys = new Map<string, string>()
  for (const role of roles) keys.set(role, (await makeKey(port, { role })).key)
  keys.set('admin of another tenant', (await makeKey(port, { role: 'admin', tenant: 'a' })).key)
  const closed = app.declaredRoutes.filter(({ config }) => config.role !== 'public')
  const shown = ({ config }: DeclaredRoute, key: string) =>
    config.authentication === 'basic' ? basic(key) : `Bearer ${key}`
  const answerTo = (route: DeclaredRoute, who?: string) => {
    const path = route.url.replaceAll(/:\w+/g, newId()).replace('*', 'x')
    return ask(port, route.method, path, who === undefined ? undefined : shown(route, keys.get(who) ?? ''))
  }
  return { app, closed, answerTo }
}

describe('Every route', () => {
  it('is closed, but for those that are meant to be open', async () => {
    const { app, closed } = await openWithKeys()
    const open = app.declaredRoutes.filter(({ config }) => config.role === 'public').map(({ url }) => url)
    const meant = /^\/(livez|readyz|openapi\.json|docs(\/.*)?)$/
    expect(open.filter((url) => !meant.test(url))).toEqual([])
    expect(closed.length).toBeGreaterThan(80)
  })

  it('asks who shows nothing for a key', async () => {
    const { closed, answerTo } = await openWithKeys()
    for (const route of closed) {
      const answer = await answerTo(route)
      expect([route.method, route.url, answer.status]).toEqual([route.method, route.url, 401])
      expect(answer.challenge).toMatch(route.config.authentication === 'basic' ? /^Basic / : /^Bearer /)
    }
  })

  it('refuses every role that is too low, and says which one it takes', async () => {
    const { closed, answerTo } = await openWithKeys()
    for (const route of closed) {
      const needed = route.config.role as Role
      for (const role of roles.slice(0, roles.indexOf(needed))) {
        const { status, body } = await answerTo(route, role)
        expect([route.method, route.url, role, status]).toEqual([route.method, route.url, role, 403])
        if (route.method !== 'HEAD') expect(body.detail).toContain(`takes the role ${needed}; yours is ${role}`)
      }
    }
  })

  it('lets the role in that it declares, and every higher one', { timeout: 60_000 }, async () => {
    const { closed, answerTo } = await openWithKeys()
    const hiddenByTheBoard = '/board/api/redis/stats'
    for (const route of closed.filter(({ url }) => url !== hiddenByTheBoard)) {
      for (const role of roles.slice(roles.indexOf(route.config.role as Role))) {
        const { status } = await answerTo(route, role)
        const isIn = status !== 401 && status !== 403
        expect([route.method, route.url, role, isIn]).toEqual([route.method, route.url, role, true])
      }
    }
  })

  it('that all tenants share takes an admin of the tenant default', async () => {
    const { closed, answerTo } = await openWithKeys()
    const shared = closed.filter(({ config }) => config.platform)
    expect(shared).toEqual(closed.filter(({ url }) => /^\/board|\/queues\/.*(pause|resume)$/.test(url)))
    for (const route of shared) {
      const { status, body } = await answerTo(route, 'admin of another tenant')
      expect([route.method, route.url, status]).toEqual([route.method, route.url, 403])
      if (route.method !== 'HEAD') expect(body.detail).toMatch(/you are admin of a\.$/)
    }
  })
})
