import { describe, expect, it } from 'vitest'
import { launchChromium } from '../../testing/chromium.ts'
import { callWith } from '../../testing/keys.ts'
import { openEventStream } from '../../testing/event-stream.ts'
import { listen } from '../../testing/listening-api.ts'
import { adminKey } from '../../testing/platform.ts'

const safe = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
}
const headersOf = ({ headers }: { headers: Headers }) => Object.fromEntries(headers)

describe('Every answer of the API', () => {
  it.each([
    ['GET', '/v1/jobs', adminKey, 200],
    ['GET', '/v1/jobs', undefined, 401],
    ['GET', '/v1/jobs/none', adminKey, 404],
    ['GET', '/nothing', undefined, 404],
    ['GET', '/livez', undefined, 200],
  ] as const)('carries what keeps browsers from harm: %s %s', async (method, path, key, status) => {
    const { port } = await listen()
    const answer = await callWith(port, key, method, path)
    expect(answer.status).toBe(status)
    expect(headersOf(answer)).toMatchObject(safe)
    expect(answer.headers.get('x-powered-by')).toBeNull()
  })

  it('that came encrypted tells browsers to keep to that, and no other', async () => {
    const { port } = await listen({ trustedProxies: ['127.0.0.1'] })
    const through = async (protocol: string) => {
      const proxied = { 'x-forwarded-proto': protocol }
      const { headers } = await callWith(port, adminKey, 'GET', '/v1/jobs', undefined, proxied)
      return headers.get('strict-transport-security')
    }
    expect(await through('https')).toBe('max-age=31536000')
    expect(await through('http')).toBeNull()
  })

  it('to who has shown a key is kept by no cache', async () => {
    const { port } = await listen()
    for (const path of ['/v1/jobs', '/v1/queues', '/v1/jobs/none'])
      expect((await callWith(port, adminKey, 'GET', path)).headers.get('cache-control')).toBe('no-store')
    const stream = await openEventStream(port, '/v1/events')
    expect(stream.headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    stream.close()
  })

  it('that is a page loads nothing from elsewhere, and may stand in no frame', async () => {
    const { port } = await listen()
    const { headers } = await callWith(port, undefined, 'GET', '/docs/')
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'self';.*frame-ancestors 'none'/)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
  })
})

it('The pages of /docs work under their headers in a browser', { timeout: 60_000 }, async () => {
  const { port } = await listen()
  const browser = await launchChromium()
  try {
    const page = await browser.newPage()
    const trouble: string[] = []
    page.on('pageerror', (error) => trouble.push(error.message))
    page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()))
    await page.goto(`http://127.0.0.1:${port}/docs`)
    await page.getByText('Make an API key').first().click()
    await page.getByRole('button', { name: 'Try it out' }).waitFor()
    expect(trouble).toEqual([])
  } finally {
    await browser.close()
  }
})

describe('Pages of other sites', () => {
  const preflight = {
    origin: 'https://app.example',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization,content-type',
  }

  it('are told nothing unless they are named', async () => {
    const { port } = await listen()
    const answer = await callWith(port, adminKey, 'GET', '/v1/jobs', undefined, { origin: 'https://app.example' })
    expect(Object.keys(headersOf(answer)).filter((name) => name.startsWith('access-control'))).toEqual([])
    const asked = await callWith(port, undefined, 'OPTIONS', '/v1/jobs', undefined, preflight)
    expect(Object.keys(headersOf(asked)).filter((name) => name.startsWith('access-control'))).toEqual([])
  })

  it('that are named may call, without cookies, and others may not', async () => {
    const { port } = await listen({ corsOrigins: ['https://app.example', 'https://other.example'] })
    const allowed = await callWith(port, undefined, 'OPTIONS', '/v1/jobs', undefined, preflight)
    expect(allowed.status).toBe(204)
    expect(headersOf(allowed)).toMatchObject({
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-headers': expect.stringMatching(/authorization/),
      'access-control-allow-methods': expect.stringMatching(/DELETE/),
    })
    expect(allowed.headers.get('access-control-allow-credentials')).toBeNull()
    const answer = await callWith(port, adminKey, 'GET', '/v1/jobs', undefined, { origin: 'https://other.example' })
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://other.example')
    expect(answer.headers.get('vary')).toMatch(/origin/i)
    const evil = await callWith(port, adminKey, 'GET', '/v1/jobs', undefined, { origin: 'https://evil.example' })
    expect(evil.headers.get('access-control-allow-origin')).toBeNull()
  })
})

it('Streams of events carry what other answers carry', async () => {
  const { port } = await listen({
    corsOrigins: ['https://app.example'],
    rateLimits: { key: { perMs: 0.01, burst: 100 } },
  })
  const stream = await openEventStream(port, '/v1/events', { origin: 'https://app.example' })
  expect(stream.headers).toMatchObject({
    ...safe,
    'access-control-allow-origin': 'https://app.example',
    'access-control-expose-headers': expect.stringMatching(/jobyard-deduplicated/),
    vary: expect.stringMatching(/origin/i),
    ratelimit: expect.stringMatching(/^"key";r=99/),
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
  })
  stream.close()
})

describe('What a proxy says of who it asks for', () => {
  const claim = { 'x-forwarded-for': '203.0.113.9' }
  const addressOf = async (trustedProxies?: string[]) => {
    const { port, sql } = await listen(trustedProxies ? { trustedProxies } : {})
    await callWith(port, adminKey, 'POST', '/v1/api-keys', { name: 'x', role: 'reader' }, claim)
    return (await sql`select address from audit_log`)[0]?.address
  }

  it('is believed of those that are named', async () => {
    expect(await addressOf(['127.0.0.0/8'])).toBe('203.0.113.9')
  })

  it('is not believed of others', async () => {
    expect(await addressOf(['10.0.0.0/8'])).toBe('127.0.0.1')
    expect(await addressOf()).toBe('127.0.0.1')
  })
})
