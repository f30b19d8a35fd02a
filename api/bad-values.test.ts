import { afterAll, beforeAll, expect, it } from 'vitest'
import { expectProblem, openEdge, post, request, type Edge } from '../testing/edge.ts'
import { describeOnBothCarriers } from '../testing/platform.ts'

const hello = { type: 'echo', input: { value: 1 } }
const json = 'application/json'

const outOfRange = [
  ['priority', 1.5],
  ['priority', 2 ** 31],
  ['priority', '5'],
  ['priority', null],
  ['delayMs', -1],
  ['delayMs', 1e15],
  ['maxAttempts', 0],
  ['maxAttempts', 1e9],
  ['timeoutMs', -1],
  ['timeoutMs', true],
  ['runAt', '+275761-01-01T00:00:00Z'],
  ['runAt', '2026-01-01'],
  ['runAt', 1_700_000_000],
  ['expiresAt', ''],
  ['tags', 'one'],
  ['tags.0', ['x'.repeat(65)]],
  ['tags', Array.from({ length: 21 }, String)],
  ['metadata', []],
  ['type', ['echo']],
] as const

const urls = [
  'http://example.com/',
  'file:///etc/passwd',
  'https://u:p@example.com/',
  'https://example.com:22/',
  'https://localhost./',
  'https://127.1/',
  'https://2130706433/',
  'https://0x7f.1/',
  'https://10.0.0.1/',
  'https://169.254.169.254/',
  'https://100.64.0.1/',
  'https://[::1]/',
  'https://[::ffff:127.0.0.1]/',
  'https://[fc00::1]/',
  'https://[64:ff9b::7f00:1]/',
  'https://0.0.0.0/',
  'javascript:1',
  '',
]
const crons = [
  '',
  '* * *',
  '0 0 30 2 *',
  '*/0 * * * *',
  '@reboot',
  '0 0 0 0 0 0 0',
  'H * * * *',
  '60 * * * *',
  '* '.repeat(1_000),
  '\0',
]

describeOnBothCarriers('Values that are none', (kind) => {
  let edge: Edge
  beforeAll(async () => {
    edge = await openEdge(kind)
  })
  afterAll(() => edge.stop())

  it.each(outOfRange)('%s cannot be %j', async (path, value) => {
    const before = await edge.left()
    const [field = ''] = path.split('.')
    const answer = await edge.send(post('/v1/jobs', JSON.stringify({ ...hello, [field]: value })))
    const { errors = [] } = expectProblem(answer, 422, 'validation-failed', new RegExp(path))
    expect(errors.map((error) => error.path)).toContain(path)
    expect(await edge.left()).toEqual(before)
  })

  it('metadata has 64 KiB at most', async () => {
    const bytes = JSON.stringify({ text: '' }).length
    const send = (text: string) => edge.send(post('/v1/jobs', JSON.stringify({ ...hello, metadata: { text } })))
    expect((await send('x'.repeat(65_536 - bytes))).status).toBe(202)
    const before = await edge.left()
    const { errors } = expectProblem(await send('ü'.repeat(32_768)), 422, 'validation-failed', /64 KiB/)
    expect(errors).toMatchObject([{ path: 'metadata' }])
    expect(await edge.left()).toEqual(before)
  })

  it.each(urls)('no endpoint can be at "%s"', async (url) => {
    const before = await edge.left()
    expectProblem(
      await edge.send(post('/v1/endpoints', JSON.stringify({ url }))),
      422,
      'url-not-allowed',
      /may not be called: \S.{10}/,
    )
    expect(await edge.left()).toEqual(before)
  })

  it.each(crons)('no schedule can be "%s"', async (cron) => {
    const before = await edge.left()
    const body = JSON.stringify({ ...hello, cron })
    const headers = [`content-type: ${json}`, `content-length: ${Buffer.byteLength(body)}`]
    const { errors } = expectProblem(
      await edge.send(request('PUT /v1/schedules/x', headers, body)),
      422,
      'cron-invalid',
      /cron/,
    )
    expect(errors).toMatchObject([{ path: 'cron' }])
    expect(await edge.left()).toEqual(before)
  })

  it.each(['Mars/Phobos', 'UTC+25', '+05:30', ' ', '../UTC'])('no zone is called "%s"', async (timeZone) => {
    const body = JSON.stringify({ cron: '* * * * *', timeZone })
    expectProblem(await edge.send(post('/v1/schedules/preview', body)), 422, 'cron-invalid', /timeZone/)
  })

  it.each(['', 'x'.repeat(256), 'a\tb', 'caf\u00e9'])('no idempotency key is "%s"', async (key) => {
    const before = await edge.left()
    const bytes = post('/v1/jobs', JSON.stringify(hello), json, [`idempotency-key: ${key}`])
    expectProblem(await edge.send(bytes), 400, 'bad-request', /1 to 255/)
    expect(await edge.left()).toEqual(before)
  })

  it.each(['wait=abc', 'wait=-1', 'wait', ';;,=', 'wait=1e9', 'x'.repeat(8_000)])(
    'a preference of "%s" is no error',
    async (prefer) => {
      const answer = await edge.send(post('/v1/jobs', JSON.stringify(hello), json, [`prefer: ${prefer}`]))
      expect(answer.status).toBe(202)
    },
  )

  it.each(['x', '-1', '1.5', '9'.repeat(40), '\u00e9'])('no event has the id "%s"', async (id) => {
    const answer = await edge.send(request('GET /v1/events', [`last-event-id: ${id}`]))
    expectProblem(answer, 400, 'bad-request', /Last-Event-ID|lastEventId/i)
  })
})
