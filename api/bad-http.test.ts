import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { expectProblem, openEdge, request, type Edge } from '../testing/edge.ts'
import { adminKey, describeOnBothCarriers } from '../testing/platform.ts'

const hello = '{"type":"echo","input":{"value":1}}'
const authorization = `authorization: Bearer ${adminKey}\r\n`
const job = `POST /v1/jobs HTTP/1.1\r\nhost: x\r\n${authorization}content-type: application/json\r\n`
const get = 'GET /v1/jobs HTTP/1.1\r\n'
const headers = (bytes: number) => `x: ${'x'.repeat(bytes)}\r\n`

type Case = readonly [what: string, bytes: string | Buffer, status: number, kind: string, sentence: RegExp]

const unclear: Case[] = [
  ['Content-Length and Transfer-Encoding', `${job}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['two lengths', `${job}content-length: ${hello.length}\r\ncontent-length: 4\r\n\r\n${hello}`],
  ['two equal lengths', `${job}content-length: ${hello.length}\r\ncontent-length: ${hello.length}\r\n\r\n${hello}`],
  ['a length that is none', `${job}content-length: ten\r\n\r\n`],
  ['a length below zero', `${job}content-length: -1\r\n\r\n`],
  ['a length of 30 digits', `${job}content-length: ${'9'.repeat(30)}\r\n\r\n`],
  ['a chunk whose length is none', `${job}transfer-encoding: chunked\r\n\r\nzz\r\n${hello}\r\n0\r\n\r\n`],
  ['a chunk that is longer than it says', `${job}transfer-encoding: chunked\r\n\r\n1\r\n${hello}\r\n0\r\n\r\n`],
  ['chunked inside of something else', `${job}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n`],
  ['a blank before the colon', `${get}host: x\r\nx : y\r\n\r\n`],
  ['a folded header', `${get}host: x\r\nx: y\r\n z\r\n\r\n`],
  ['a header without a name', `${get}host: x\r\n: y\r\n\r\n`],
  ['NUL in a header', `${get}host: x\r\nx: \0\r\n\r\n`],
  ['lines that end without CR', `GET /v1/jobs HTTP/1.1\nhost: x\nx\r: y\n\n`],
  ['a blank in the URL', 'GET /v1/jobs ? HTTP/1.1\r\nhost: x\r\n\r\n'],
  ['a method that is none', 'GRAB /v1/jobs HTTP/1.1\r\nhost: x\r\n\r\n'],
  ['another protocol', 'GET /v1/jobs FTP/1.1\r\nhost: x\r\n\r\n'],
  ['HTTP/9.9', 'GET /v1/jobs HTTP/9.9\r\nhost: x\r\n\r\n'],
  ['TLS where none is spoken', Buffer.from('16030100c8010000c40303', 'hex')],
  ['nonsense', `${'x'.repeat(100)}\r\n\r\n`],
].map(([what, bytes]) => [what as string, bytes as string, 400, 'bad-request', /RFC 9112/])

const cases: Case[] = [
  ...unclear,
  ['no Host', `${get}${authorization}\r\n`, 400, 'bad-request', /Host/],
  ['two Hosts', `${get}host: x\r\nhost: y\r\n${authorization}\r\n`, 400, 'bad-request', /host stands twice/],
  ['headers of 17 kB', `${get}host: x\r\n${headers(17_000)}\r\n`, 431, 'headers-too-large', /16 KiB/],
  ['a thousand headers', `${get}host: x\r\n${headers(20).repeat(1_000)}\r\n`, 431, 'headers-too-large', /16 KiB/],
  [
    'a URL of 20 kB',
    `GET /v1/jobs?tag=${'x'.repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
    431,
    'headers-too-large',
    /16 KiB/,
  ],
  ['CONNECT', 'CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n', 405, 'method-not-allowed', /no proxy/],
  ['a URL that cannot be decoded', request('GET /v1/jobs/%zz'), 400, 'bad-request', /%25/],
  ['a URL that decodes to no UTF-8', request('GET /v1/jobs/%ff%fe'), 400, 'bad-request', /%25/],
  ['half of a surrogate pair in the URL', request('GET /v1/queues/%ed%a0%80'), 400, 'bad-request', /%25/],
  ['somebody else’s URL', request('GET http://169.254.169.254/latest/meta-data'), 404, 'not-found', /nothing at/],
]

describeOnBothCarriers('A request that is no clear HTTP', (kind) => {
  let edge: Edge
  beforeAll(async () => {
    edge = await openEdge(kind, { headTimeoutMs: 300 })
  })
  afterAll(() => edge.stop())

  it.each(cases)('with %s is refused, and leaves nothing behind', async (_what, bytes, status, problem, sentence) => {
    const before = await edge.left()
    const answer = await edge.send(bytes)
    expectProblem(answer, status, problem, sentence)
    expect(answer.headers.connection).toBe('close')
    expect(await edge.left()).toEqual(before)
  })

  it.each([
    ['a head that trickles in', get],
    ['no head at all', ''],
  ])('%s is given up after its time', async (_what, bytes) => {
    expectProblem(await edge.send(bytes), 408, 'timeout', /faster/)
  })

  it('HTTP/1.0 needs no Host', async () => {
    expect((await edge.send(`GET /livez HTTP/1.0\r\n\r\n`)).status).toBe(200)
  })

  it('An expectation that nobody knows is no reason to refuse', async () => {
    expect((await edge.send(request('GET /livez', ['expect: the-unexpected']))).status).toBe(200)
  })

  it('What follows a request on its connection does not spoil its answer', async () => {
    const socket = connect(edge.port, '127.0.0.1')
    socket.write('GET /livez HTTP/1.1\r\nhost: x\r\n\r\n')
    await once(socket, 'readable')
    socket.write('nonsense\r\n\r\n')
    const answers = (await text(socket)).split(/(?=HTTP\/1\.1 \d)/)
    expect(answers.map((answer) => answer.slice(0, 12))).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400'])
  })

  it('What follows a request that is still being answered waits for its answer', async () => {
    const socket = connect(edge.port, '127.0.0.1')
    const whole = `${job}content-length: ${hello.length}\r\n\r\n${hello}`
    socket.write(`${whole}${whole}nonsense\r\n\r\n`)
    const answers = (await text(socket)).split(/(?=HTTP\/1\.1 \d)/)
    expect(answers.map((answer) => answer.slice(0, 12))).toEqual(['HTTP/1.1 202', 'HTTP/1.1 202', 'HTTP/1.1 400'])
  })

  it('A second request that is smuggled in a body is part of the body', async () => {
    const smuggled = `GET /livez HTTP/1.1\r\nhost: x\r\n\r\n`
    const answer = await edge.send(`${job}connection: close\r\ncontent-length: ${smuggled.length}\r\n\r\n${smuggled}`)
    expectProblem(answer, 400, 'invalid-json', /valid JSON/)
    expect(answer.body).not.toContain('HTTP/1.1')
  })
})
