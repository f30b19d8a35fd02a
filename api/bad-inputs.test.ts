import { afterAll, beforeAll, expect, it } from 'vitest'
import { expectProblem, openEdge, post, request, type Edge, type RawAnswer } from '../testing/edge.ts'
import { adminKey, describeOnBothCarriers } from '../testing/platform.ts'

const hello = '{"type":"echo","input":{"value":1}}'
const json = 'application/json'
const chunked = (body: string | Buffer) => [
  request('POST /v1/jobs', [`content-type: ${json}`, 'transfer-encoding: chunked']),
  `${Buffer.byteLength(body).toString(16)}\r\n`,
  body,
  '\r\n0\r\n\r\n',
]
const huge = JSON.stringify({ type: 'echo', input: { value: 'x'.repeat(1_048_576) } })
const nested = (levels: number) => `{"type":"echo","input":{"value":${'['.repeat(levels)}${']'.repeat(levels)}}}`
const wide = (members: number) => {
  const fields = Array.from({ length: members }, (_, index) => `"${index.toString(36)}":0`)
  return `{"type":"echo","input":{"value":{${fields.join(',')}}}}`
}

type Case = readonly [
  what: string,
  pieces: readonly (string | Buffer)[],
  status: number,
  kind: string,
  sentence: RegExp,
]

const notJson: Case[] = [
  ['a body that breaks off', '{"type":"echo"'],
  ['an empty body', ''],
  ['blanks', ' \n'],
  ['NaN', '{"type":"echo","input":{"value":NaN}}'],
  ['a comment', `/* */${hello}`],
  ['a comma too many', '{"type":"echo",}'],
  ['text after the value', `${hello}x`],
  ['single quotes', "{'type':'echo'}"],
  ['a line break in a string', '{"type":"e\ncho"}'],
  ['invalid UTF-8', Buffer.from([...Buffer.from('{"type":"'), 0xc3, 0x28, 0x22, 0x7d])],
  ['an overlong UTF-8 sequence', Buffer.from([...Buffer.from('{"type":"'), 0xc0, 0xaf, 0x22, 0x7d])],
  ['half of a surrogate pair in UTF-8', Buffer.from([...Buffer.from('{"type":"'), 0xed, 0xa0, 0x80, 0x22, 0x7d])],
  ['UTF-16', Buffer.from(hello, 'utf16le')],
  ['a key that stands twice', '{"type":"echo","type":"echo","input":{"value":1}}'],
  ['a key that stands twice, once escaped', String.raw`{"type":"echo","input":{"value":1,"v\u0061lue":2}}`],
  ['__proto__', '{"type":"echo","input":{"value":1,"__proto__":{"x":1}}}'],
  ['__proto__ escaped', String.raw`{"type":"echo","input":{"value":{"\u005f\u005fproto\u005f_":1}}}`],
  ['constructor.prototype', '{"type":"echo","input":{"constructor":{"prototype":{"x":1}}}}'],
].map(([what, body]) => [`${what as string}`, [post('/v1/jobs', body as string)], 400, 'invalid-json', /valid JSON/])

const mediaTypes: Case[] = [
  ['no content type', ''],
  ['text', 'text/plain'],
  ['XML', 'application/xml'],
  ['a form', 'application/x-www-form-urlencoded'],
  ['a file', 'multipart/form-data; boundary=x'],
  ['two types', 'application/json, text/plain'],
  ['no type at all', 'json'],
  ['UTF-16', 'application/json; charset=utf-16'],
  ['Latin-1', 'application/json; charset="iso-8859-1"'],
  ['lines where none are taken', 'application/x-ndjson'],
].map(([what, type]) => [`a body of ${what}`, [post('/v1/jobs', hello, type)], 415, 'unsupported-media-type', /Send/])

const wrongShape: Case[] = [
  ['an array', '[]', /body/],
  ['null', 'null', /body/],
  ['a string', '"echo"', /body/],
  ['65 levels', nested(63), /64 levels/],
  ['half a million levels', nested(520_000), /64 levels/],
  ['100,001 members', wide(99_998), /100000 members/],
  ['a number beyond doubles', '{"type":"echo","input":{"value":1e400}}', /1e400/],
  ['a number of 20 digits', '{"type":"echo","input":{"value":12345678901234567890}}', /1234567890/],
  ['NUL in a tag', String.raw`{"type":"echo","input":{"value":1},"tags":["\u0000"]}`, /tags.0/],
  ['half of a surrogate pair in a tag', String.raw`{"type":"echo","input":{"value":1},"tags":["\ud800"]}`, /tags.0/],
  ['a year that is none', '{"type":"echo","input":{"value":1},"expiresAt":"+275761-01-01T00:00:00Z"}', /expiresAt/],
  ['a day that is none', '{"type":"echo","input":{"value":1},"runAt":"2026-02-30T00:00:00Z"}', /runAt/],
].map(([what, body, sentence]) => [
  `a body with ${what as string}`,
  [post('/v1/jobs', body as string)],
  422,
  'validation-failed',
  sentence as RegExp,
])

const tooLarge: Case[] = [
  ['a body over 1 MiB', [post('/v1/jobs', huge)], 413, 'too-large', /less/],
  ['a chunked body over 1 MiB', chunked(huge), 413, 'too-large', /less/],
  [
    'a body that says it is 1 TB',
    [request('POST /v1/jobs', [`content-type: ${json}`, 'content-length: 1000000000000'])],
    413,
    'too-large',
    /less/,
  ],
]

const noBody: Case[] = ['POST /v1/jobs', 'POST /v1/jobs/batch', 'PUT /v1/schedules/x', 'POST /v1/endpoints'].map(
  (call) => [`no body at ${call}`, [request(call)], 400, 'invalid-json', /body is empty/],
)

const encodings: Case[] = ['gzip', 'br', 'deflate', 'gzip, identity', 'x'].map((encoding) => [
  `a body with Content-Encoding ${encoding}`,
  [post('/v1/jobs', hello, json, [`content-encoding: ${encoding}`])],
  415,
  'unsupported-media-type',
  /without a Content-Encoding/,
])

describeOnBothCarriers('Bad input', (kind) => {
  let edge: Edge
  beforeAll(async () => {
    edge = await openEdge(kind)
  })
  afterAll(() => edge.stop())

  it.each([...notJson, ...mediaTypes, ...wrongShape, ...tooLarge, ...noBody, ...encodings])(
    'refuses %s, and leaves nothing behind',
    async (_what, pieces, status, problem, sentence) => {
      const before = await edge.left()
      expectProblem(await edge.send(...pieces), status, problem, sentence)
      expect(await edge.left()).toEqual(before)
    },
  )

  it.each([
    ['64 levels', nested(62)],
    ['100,000 members', wide(99_997)],
    ['a charset of UTF-8', hello, 'application/json; charset="UTF-8"'],
    ['chunks', ''],
  ])('takes a body of %s', async (_what, body, type = json) => {
    const answer = await edge.send(...(body === '' ? chunked(hello) : [post('/v1/jobs', body, type)]))
    expect(answer.status).toBe(202)
  })

  it('keeps in its input what Postgres may refuse', async () => {
    const value = String.raw`{"\u0000":"\u0000","\ud800":["\udfff","\ud83d\ude00"]}`
    const answer = await edge.send(post('/v1/jobs', `{"type":"echo","input":{"value":${value}}}`))
    expect(JSON.parse(answer.body)).toMatchObject({ input: { value: JSON.parse(value) } })
    const { id } = JSON.parse(answer.body) as { id: string }
    const read = await edge.send(request(`GET /v1/jobs/${id}`))
    expect(JSON.parse(read.body)).toMatchObject({ input: { value: JSON.parse(value) } })
  })

  it('refuses a batch whose item is the same as a bad job, and no other of it', async () => {
    const lines = [hello, '{"type":"echo","type":"echo"}', nested(70), '{', hello].join('\n')
    const { body } = await edge.send(post('/v1/jobs/batch', lines, 'application/x-ndjson'))
    expect(body.match(/"id":/g)).toHaveLength(2)
    expect(body).toMatch(/"index":1,"problem":{[^}]*invalid-json/)
    expect(body).toMatch(/"index":2,"problem":{[^}]*validation-failed/)
  })

  it('with a header twice is refused whatever it says', async () => {
    const answers: [string, RawAnswer][] = []
    for (const header of [
      'Host: y',
      `Authorization: Bearer ${adminKey}`,
      'Content-Type: text/plain',
      'Idempotency-Key: b',
    ])
      answers.push([header, await edge.send(post('/v1/jobs', hello, json, ['Idempotency-Key: a', header]))])
    for (const [header, answer] of answers)
      expectProblem(answer, 400, 'bad-request', new RegExp(header.split(':').at(0) ?? '', 'i'))
  })
})
