import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, jwtVerify, SignJWT, type JWK } from 'jose'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { readJwtSettings } from './jwt-settings.ts'
import { Tokens } from './tokens.ts'

vi.mock('jose', async (load) => {
  const jose = await load<typeof import('jose')>()
  return { ...jose, jwtVerify: vi.fn<typeof jose.jwtVerify>(jose.jwtVerify) }
})
const { jwtVerify: actualVerify } = await vi.importActual<typeof import('jose')>('jose')

const issuer = 'https://issuer.example'
const audience = 'jobyard'
const ed = generateKeyPairSync('ed25519')
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 })
const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString()
const claims = { tenant: 'a', roles: ['reader', 'operator', 'other'] }

interface Wanted {
  readonly alg?: string
  readonly key?: KeyObject | Uint8Array
  readonly header?: object
  readonly claims?: object
  readonly issuer?: string
  readonly audience?: string
  readonly expires?: string | null
}

function sign(wanted: Wanted = {}): Promise<string> {
  const token = new SignJWT({ ...claims, ...wanted.claims })
    .setProtectedHeader({ alg: wanted.alg ?? 'EdDSA', ...wanted.header })
    .setSubject('somebody')
    .setIssuer(wanted.issuer ?? issuer)
    .setAudience(wanted.audience ?? audience)
  if (wanted.expires !== null) token.setExpirationTime(wanted.expires ?? '1h')
  return token.sign(wanted.key ?? ed.privateKey)
}

function believing(key: KeyObject): Tokens {
  const settings = readJwtSettings({
    JOBYARD_JWT_ISSUER: issuer,
    JOBYARD_JWT_AUDIENCE: audience,
    JOBYARD_JWT_PUBLIC_KEY: pem(key),
  })
  return new Tokens(settings!)
}

const judge = async (tokens: Tokens, token: string) => tokens.judge(token)

describe('A token', () => {
  it.each([
    ['EdDSA', ed],
    ['ES256', ec],
    ['RS256', rsa],
  ])(
    'signed with %s tells tenant, subject and the highest role, and is believed at once the second time',
    async (alg, pair) => {
      const tokens = believing(pair.publicKey)
      const token = await sign({ alg, key: pair.privateKey })
      const bearer = { tenant: 'a', keyId: 'jwt:somebody', role: 'operator' }
      expect(await judge(tokens, token)).toMatchObject(bearer)
      expect(tokens.judge(token)).toMatchObject(bearer)
    },
  )

  it('without a role that is known has none', async () => {
    expect(await judge(believing(ed.publicKey), await sign({ claims: { roles: ['root'] } }))).toMatchObject({
      role: undefined,
    })
  })

  const [head, body] = ['{"alg":"none"}', JSON.stringify({ ...claims, iss: issuer, aud: audience, exp: 9e9 })].map(
    (text) => Buffer.from(text).toString('base64url'),
  )
  const hs256 = () => {
    const start = `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.${body}`
    return `${start}.${createHmac('sha256', pem(rsa.publicKey)).update(start).digest('base64url')}`
  }
  const jwk = async () => sign({ header: { jwk: await exportJWK(ed.publicKey) } })

  it.each<[string, () => string | Promise<string>, RegExp]>([
    ['alg none', () => `${head}.${body}.`, /not signed in a way/],
    ['RS256 turned into HS256 with the public key', hs256, /not signed in a way/],
    ['an algorithm that is not of the key', () => sign({ alg: 'ES256', key: ec.privateKey }), /not signed in a way/],
    ['a key of its own', jwk, /has `jwk`/],
    ['a place of keys', () => sign({ header: { jku: 'http://127.0.0.1:1/keys' } }), /has `jku`/],
    ['a place of a certificate', () => sign({ header: { x5u: 'http://127.0.0.1:1/x' } }), /has `x5u`/],
    ['another issuer', () => sign({ issuer: 'https://other.example' }), /`iss` is not the one/],
    ['another audience', () => sign({ audience: 'other' }), /`aud` is not the one/],
    ['no expiry', () => sign({ expires: null }), /lacks the claim `exp`/],
    ['an expiry that has passed', () => sign({ expires: '-1m' }), /has expired/],
    ['a beginning that has not come', () => sign({ claims: { nbf: 9e9 } }), /not valid yet/],
    ['the signature of another', () => sign({ key: generateKeyPairSync('ed25519').privateKey }), /signature is wrong/],
    ['no tenant', () => sign({ claims: { tenant: undefined } }), /claim `tenant`/],
    ['a tenant that is no name', () => sign({ claims: { tenant: '../a' } }), /claim `tenant`/],
    ['one role for roles', () => sign({ claims: { roles: 'admin' } }), /claim `roles`/],
    ['rubbish for a head', () => 'x.y.z', /can be read/],
    ['more than 8 kB', () => `${'a'.repeat(100_000)}.b.c`, /longer than 8192 bytes/],
  ])('with %s lets nobody in', async (_what, make, sentence) => {
    const tokens = believing(/RS256/.test(_what) ? rsa.publicKey : ed.publicKey)
    await expect(judge(tokens, await make())).rejects.toMatchObject({
      kind: 'unauthenticated',
      message: expect.stringMatching(sentence),
      headers: { 'www-authenticate': 'Bearer realm="jobyard", error="invalid_token"' },
    })
  })
})

/** An issuer that publishes keys over HTTP, or refuses to, and counts who asks for what. */
async function openIssuer() {
  const state = { keys: [] as JWK[], isAway: false, asked: [] as string[] }
  const server = createServer((request: IncomingMessage, response) => {
    state.asked.push(request.url ?? '')
    response.writeHead(state.isAway ? 500 : 200).end(JSON.stringify({ keys: state.keys }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const settings = readJwtSettings({
    JOBYARD_JWT_ISSUER: issuer,
    JOBYARD_JWT_AUDIENCE: audience,
    JOBYARD_JWT_JWKS_URL: `http://127.0.0.1:${port}/keys`,
  })
  return { state, tokens: new Tokens(settings!) }
}

const published = async (key: KeyObject, kid: string): Promise<JWK> => ({
  ...(await exportJWK(key)),
  kid,
  alg: 'EdDSA',
})

describe('Keys that an issuer publishes', () => {
  it('are fetched once, whatever tokens say of keys', async () => {
    const { state, tokens } = await openIssuer()
    state.keys = [await published(ed.publicKey, 'first')]
    expect(await judge(tokens, await sign({ header: { kid: 'first' } }))).toMatchObject({ tenant: 'a' })
    for (const kid of ['../../etc/passwd', 'http://127.0.0.1:1/', 'second', 'third'])
      await expect(judge(tokens, await sign({ header: { kid } }))).rejects.toMatchObject({ kind: 'unauthenticated' })
    await expect(judge(tokens, await sign({ header: { kid: 'first', jku: 'http://127.0.0.1:1/' } }))).rejects.toThrow(
      'jku',
    )
    expect(state.asked).toEqual(['/keys'])
  })

  it('that cannot be fetched are no reason to call a token wrong, and are asked for once a second', async () => {
    const { state, tokens } = await openIssuer()
    state.isAway = true
    const token = await sign({ header: { kid: 'first' } })
    for (let count = 0; count < 3; count++)
      await expect(judge(tokens, token)).rejects.toMatchObject({
        kind: 'unavailable',
        message: expect.stringMatching(/Nothing was done/),
      })
    expect(state.asked).toHaveLength(1)
  })

  it('that were taken back open nothing any more once they are fetched again, beside the traffic', async () => {
    const { state, tokens } = await openIssuer()
    state.keys = [await published(ed.publicKey, 'first')]
    const token = await sign({ header: { kid: 'first' } })
    await judge(tokens, token)
    state.keys = [await published(generateKeyPairSync('ed25519').publicKey, 'second')]
    expect(tokens.judge(token)).toMatchObject({ tenant: 'a' })
    expect(state.asked).toHaveLength(1)
    const now = performance.now()
    const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 300_001)
    onTestFinished(() => clock.mockRestore())
    expect(tokens.judge(token)).toMatchObject({ tenant: 'a' })
    await vi.waitFor(async () =>
      expect(judge(tokens, token)).rejects.toMatchObject({
        kind: 'unauthenticated',
        message: expect.stringMatching(/key is not known/),
      }),
    )
    expect(state.asked).toHaveLength(2)
  })

  it('that were taken back while a token was verified let nobody remember it', async () => {
    const { state, tokens } = await openIssuer()
    state.keys = [await published(ed.publicKey, 'first')]
    const other = generateKeyPairSync('ed25519')
    await judge(tokens, await sign({ header: { kid: 'first' }, claims: { tenant: 'b' } }))
    const token = await sign({ header: { kid: 'first' } })
    const [release, verified] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    vi.mocked(jwtVerify).mockImplementationOnce(async (...verification) => {
      const result = await actualVerify(...verification)
      verified.resolve()
      await release.promise
      return result
    })
    const first = judge(tokens, token)
    await verified.promise
    state.keys = [await published(other.publicKey, 'second')]
    const now = Date.now()
    vi.useFakeTimers({ toFake: ['Date'], now: now + 10_001 })
    onTestFinished(() => void vi.useRealTimers())
    await judge(tokens, await sign({ key: other.privateKey, header: { kid: 'second' } }))
    release.resolve()
    expect(await first).toMatchObject({ tenant: 'a' })
    await expect(judge(tokens, token)).rejects.toMatchObject({ kind: 'unauthenticated' })
  })

  it('that are longer than any keys are of no use', async () => {
    const { state, tokens } = await openIssuer()
    state.keys = [{ ...(await published(ed.publicKey, 'first')), x: 'x'.repeat(1_048_576) }]
    const answer = judge(tokens, await sign({ header: { kid: 'first' } }))
    await expect(answer).rejects.toMatchObject({
      kind: 'unavailable',
      cause: { cause: { message: expect.stringMatching(/longer than 1048576 bytes/) } },
    })
  })

  it('count on when the issuer goes away after', async () => {
    const { state, tokens } = await openIssuer()
    state.keys = [await published(ed.publicKey, 'first')]
    await judge(tokens, await sign({ header: { kid: 'first' } }))
    state.isAway = true
    expect(await judge(tokens, await sign({ header: { kid: 'first' }, claims: { tenant: 'b' } }))).toMatchObject({
      tenant: 'b',
    })
  })
})

describe('The configuration of tokens', () => {
  const whole = {
    JOBYARD_JWT_ISSUER: issuer,
    JOBYARD_JWT_AUDIENCE: audience,
    JOBYARD_JWT_JWKS_URL: 'https://issuer.example/keys',
  }

  it('may be absent', () => {
    expect(readJwtSettings({})).toBeUndefined()
  })

  it.each<[string, object, RegExp]>([
    ['no issuer', { JOBYARD_JWT_ISSUER: undefined }, /or none of them/],
    ['no audience', { JOBYARD_JWT_AUDIENCE: undefined }, /or none of them/],
    ['no keys', { JOBYARD_JWT_JWKS_URL: undefined }, /or none of them/],
    ['both kinds of keys', { JOBYARD_JWT_PUBLIC_KEY: pem(ed.publicKey) }, /one of/],
    ['keys that come unprotected', { JOBYARD_JWT_JWKS_URL: 'http://issuer.example/keys' }, /https/],
    ['no URL', { JOBYARD_JWT_JWKS_URL: 'keys' }, /https/],
    ['no key', { JOBYARD_JWT_JWKS_URL: undefined, JOBYARD_JWT_PUBLIC_KEY: 'secret' }, /in PEM/],
    [
      'a private key',
      {
        JOBYARD_JWT_JWKS_URL: undefined,
        JOBYARD_JWT_PUBLIC_KEY: ed.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      },
      /in PEM/,
    ],
    [
      'a weak key',
      {
        JOBYARD_JWT_JWKS_URL: undefined,
        JOBYARD_JWT_PUBLIC_KEY: pem(generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey),
      },
      /2,048 bits/,
    ],
  ])('with %s stops the start', (_what, change, sentence) => {
    expect(() => readJwtSettings({ ...whole, ...change })).toThrow(sentence)
  })
})
