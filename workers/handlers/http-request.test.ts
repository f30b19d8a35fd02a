import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseAllowList } from '@jobyard/outbound/address-rules'
import { createGuardedFetch } from '@jobyard/outbound/guarded-fetch'
import { handlerContext } from '@jobyard/testing/handler-context'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { httpRequest } from './http-request.ts'

const guardedFetch = createGuardedFetch({
  allow: parseAllowList('127.0.0.1'),
  timeoutMs: 5_000,
  maxBodyBytes: 1_000,
  maxHeaderBytes: 16_384,
})
const handler = httpRequest({ guardedFetch })
const run = (input: object, context = handlerContext()) => handler.run(input, context)
let receiver: Server
let url: string

async function textOf(request: IncomingMessage): Promise<string> {
  return Buffer.concat(await request.toArray()).toString()
}

async function echoRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, headers } = request
  response.end(JSON.stringify({ method, headers, body: await textOf(request) }))
}

/** Answers `/404` with that status and `/bytes/9` with that many; anything else is told back what it sent. */
beforeAll(async () => {
  receiver = createServer((request, response) => {
    const [, first = '', second] = (request.url ?? '').split('/')
    if (first === 'hang') return
    if (first === 'bytes') response.end('x'.repeat(Number(second)))
    else if (/^\d{3}$/.test(first)) response.writeHead(Number(first), { location: '/200' }).end('why\r\nso\0')
    else void echoRequest(request, response)
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`
})

afterAll(() => {
  receiver.closeAllConnections()
  receiver.close()
})

describe('http.request', () => {
  it('sends what its input says and returns an answer that its contract accepts', async () => {
    const output = await run({ url, method: 'PATCH', headers: { 'X-Given': 'yes' }, body: 'grüße' })
    const { body, ...rest } = handler.contract.output.parse(output) as { body: string }
    expect(rest).toMatchObject({ status: 200, truncated: false })
    expect(JSON.parse(body)).toMatchObject({
      method: 'PATCH',
      headers: { 'x-given': 'yes', 'user-agent': 'jobyard' },
      body: 'grüße',
    })
  })

  it.each([
    [{}, 'GET'],
    [{ body: 'x' }, 'POST'],
    [{ method: 'DELETE' }, 'DELETE'],
  ])('with %j is a %s', async (input, method) => {
    const { body } = (await run({ url, ...input })) as { body: string }
    expect(JSON.parse(body)).toMatchObject({ method })
  })

  it('keeps 256 KiB of a longer body', async () => {
    const whole = (await run({ url: `${url}/bytes/${256 * 1024}` })) as { body: string; truncated: boolean }
    expect([whole.body.length, whole.truncated]).toEqual([256 * 1024, false])
    const cut = (await run({ url: `${url}/bytes/${256 * 1024 + 1}` })) as { body: string; truncated: boolean }
    expect([cut.body.length, cut.truncated]).toEqual([256 * 1024, true])
  })

  it.each([200, 201, 202, 204, 299])('completes on %i', async (status) => {
    expect(await run({ url: `${url}/${status}` })).toMatchObject({ status })
  })

  it.each([408, 425, 429, 500, 502, 503, 504, 599])('is worth another attempt after %i', async (status) => {
    const failure = await run({ url: `${url}/${status}` }).catch((error: unknown) => error)
    expect(failure).toMatchObject({ name: 'Error', message: `${new URL(url).host} answered ${status}: why so` })
  })

  it.each([400, 401, 404, 409, 410, 422, 451])('fails for good on %i', async (status) => {
    await expect(run({ url: `${url}/${status}` })).rejects.toMatchObject({
      name: 'PermanentError',
      reason: 'http_status',
      message: `${new URL(url).host} answered ${status}: why so`,
    })
  })

  it.each([301, 302, 303, 307, 308])('does not follow a %i', async (status) => {
    await expect(run({ url: `${url}/${status}` })).rejects.toMatchObject({
      reason: 'http_status',
      message: expect.stringContaining('redirects are not followed (to /200)'),
    })
  })

  it('fails for good where it may not go', async () => {
    const request = run({ url: 'https://169.254.169.254/latest/meta-data' })
    await expect(request).rejects.toMatchObject({ name: 'PermanentError', reason: 'url_not_allowed' })
    await expect(run({ url: 'http://receiver.example/' })).rejects.toMatchObject({ reason: 'url_not_allowed' })
  })

  it('is worth another attempt when nobody answers', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    await expect(run({ url: `http://127.0.0.1:${port}/` })).rejects.toMatchObject({ name: 'FetchNetworkError' })
  })

  it('ends when its signal fires', async () => {
    const stop = new AbortController()
    const arrived = once(receiver, 'request')
    const attempt = run({ url: `${url}/hang` }, handlerContext({ signal: stop.signal }))
    await arrived
    stop.abort(new Error('cancelled'))
    await expect(attempt).rejects.toThrow('cancelled')
  })

  it('waits while the egress proxy is away, at the cost of no attempt', async () => {
    const away = httpRequest({
      guardedFetch: createGuardedFetch({
        allow: [],
        proxy: new URL('http://127.0.0.1:1'),
        timeoutMs: 5_000,
        maxBodyBytes: 1_000,
        maxHeaderBytes: 16_384,
      }),
    })
    await expect(away.run({ url: 'https://93.184.215.14/' }, handlerContext())).rejects.toMatchObject({
      name: 'SnoozeError',
      message: 'The egress proxy gives no answer',
    })
  })
})
