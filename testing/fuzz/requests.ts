import type { Document, Parameter, Reference } from '@jobyard/api/openapi/document'
import fc, { type Arbitrary } from 'fast-check'
import type { Route } from '../conformance.ts'
import { adminKey } from '../platform.ts'
import { broken, mutated } from './mutations.ts'
import { Values, type Hints } from './values.ts'

/** A request. In its URL, `{known:n}` stands for the name of something that is there. */
export interface FuzzRequest {
  readonly route: Route
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | undefined
}

const moments = fc
  .date({ min: new Date('2020-01-01'), max: new Date('2040-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString())
const inputs = fc.record(
  { value: fc.jsonValue(), sleepMs: fc.nat(1_000), failTimes: fc.nat(100) },
  { requiredKeys: ['value'] },
)
const hints: Hints = {
  type: fc.constantFrom('echo', 'echo', 'echo', 'echo', 'webhook.deliver', 'ecko', 'job.completed'),
  input: inputs,
  cron: fc.constantFrom(
    '* * * * *',
    '30 8 * * 1-5',
    '0 0 29 2 *',
    '0 0 30 2 *',
    '*/0 * * * *',
    '@reboot',
    '* * *',
    'H * * * *',
    '',
    'x'.repeat(2_000),
  ),
  timeZone: fc.constantFrom('UTC', 'Europe/Paris', 'Asia/Kathmandu', 'Mars/Phobos', 'UTC+25', '+05:30', ''),
  everyMs: fc.oneof(fc.integer({ min: 1_000, max: 1e9 }), fc.constantFrom(0, -1, 0.5, 1e300)),
  url: fc.constantFrom(
    'https://example.com/hook',
    'https://example.com:8443/',
    'http://example.com/',
    'https://127.1/',
    'https://[::1]/',
    'file:///etc/passwd',
    'https://u:p@example.com/',
    'https://169.254.169.254/',
    'x',
  ),
  since: moments,
  until: moments,
  headers: fc.dictionary(fc.constantFrom('x-a', 'x-b', 'host', 'cookie', 'x y'), fc.string({ maxLength: 20 }), {
    maxKeys: 2,
  }),
}
const oddNames = fc.oneof(
  fc.constantFrom(
    '%00',
    '%0d%0a',
    '..%2f..%2fetc%2fpasswd',
    'a%2fb',
    '__proto__',
    'NaN',
    '%zz',
    '%ff',
    '%',
    '*',
    '%F0%9F%98%80',
    'x'.repeat(5_000),
    'preview',
    'batch',
    'default',
  ),
  fc.string({ minLength: 1, maxLength: 120 }).map((text) => encodeURIComponent(text.replaceAll('.', 'x'))),
  fc.uuid({ version: [4, 7] }),
  fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/).filter((name) => !name.startsWith('.')),
)
const oddHeaders = fc.constantFrom<Record<string, string>>(
  ...[
    'text/plain',
    'application/xml',
    'json',
    'application/json; charset=utf-16',
    'application/json;;',
    'application/x-ndjson',
    '',
  ].map((type) => ({ 'content-type': type })),
  ...['gzip', 'identity'].map((encoding) => ({ 'content-encoding': encoding })),
  ...['a', '', 'x'.repeat(256), 'tab\t', '\u00e9', 'a,b'].map((key) => ({ 'idempotency-key': key })),
  ...['wait=abc', 'wait=-1', 'wait=0', 'wait', 'respond-async', ';;,'].map((prefer) => ({ prefer })),
  ...['', 'Bearer', 'Bearer x', 'Basic eDp5', `bearer ${adminKey}`].map((authorization) => ({ authorization })),
  ...['0', '-1', 'x', '1-1', '9'.repeat(40)].map((id) => ({ 'last-event-id': id })),
  ...['text/html', 'application/xml;q=1', '*/*'].map((accept) => ({ accept })),
  { 'if-none-match': '*' },
  { 'x-http-method-override': 'DELETE' },
  { 'x-forwarded-for': "'; drop", forwarded: 'for=x' },
  { expect: '100-continue' },
  { range: 'bytes=0-1' },
  { cookie: 'a=b'.repeat(1_000) },
  { 'x-long': 'x'.repeat(17_000) },
)
const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']

/** Makes requests to the operations of a document: such as it wants, and such as it does not. */
export class Requests {
  readonly #values: Values

  constructor(document: Document) {
    this.#values = new Values(document.components.schemas ?? {}, hints)
  }

  /** @returns requests to any of these routes. */
  to(routes: readonly Route[]): Arbitrary<FuzzRequest> {
    return fc.oneof(...routes.map((route) => ({ weight: weightOf(route), arbitrary: this.#toOne(route) })))
  }

  #toOne(route: Route): Arbitrary<FuzzRequest> {
    return fc
      .record({
        url: this.#urls(route),
        body: this.#bodies(route),
        more: rarely(oddHeaders, {}),
        method: rarely(fc.constantFrom(...methods), route.method, 30),
      })
      .map(({ url, body, more, method }) => ({
        route,
        method,
        url,
        body: body?.bytes,
        headers: { authorization: `Bearer ${adminKey}`, ...(body && { 'content-type': body.type }), ...more },
      }))
  }

  #urls({ path, operation }: Route): Arbitrary<string> {
    const name = fc.oneof(
      { weight: 3, arbitrary: fc.nat(1_000).map((index) => `{known:${index}}`) },
      { weight: 1, arbitrary: oddNames },
    )
    const query = (operation.parameters ?? []).filter(isQuery).map((parameter) => this.#queryPart(parameter))
    const unknown = rarely(
      fc.constantFrom('x=1', '__proto__=1', 'limit[]=1', 'status[$ne]=x', '&&&=', 'a=%zz', `a=${'x'.repeat(9_000)}`),
      '',
      15,
    )
    return fc.tuple(name, fc.tuple(...query), unknown).map(([each, parts, more]) => {
      const text = [...parts, more].filter((part) => part !== '').join('&')
      return path.replace(/\{\w+\}/, () => each) + (text && `?${text}`)
    })
  }

  #queryPart({ name, schema, style }: Parameter): Arbitrary<string> {
    const fitting = this.#values.of(schema).map((value) => {
      const pairs =
        style === 'deepObject'
          ? Object.entries(value as object).map(([field, each]) => [`${name}[${encode(field)}]`, each])
          : [value].flat().map((each) => [name, each])
      return pairs.map(([key, each]) => `${key}=${encode(each)}`).join('&')
    })
    const odd = fc
      .constantFrom('', '%00', '-1', '1e9', '%20', "';--", '%F0%9F%98%80', 'x'.repeat(1_000), '0', '201')
      .map((text) => `${name}=${text}`)
    return fc.oneof(
      { weight: 12, arbitrary: fc.constant('') },
      { weight: 4, arbitrary: fitting },
      { weight: 1, arbitrary: odd },
    )
  }

  #bodies({ method, operation: { requestBody } }: Route): Arbitrary<{ type: string; bytes: Buffer } | undefined> {
    if (!requestBody)
      return method === 'GET'
        ? fc.constant(undefined)
        : rarely(
            fc
              .constantFrom('', '{', '{}', 'null')
              .map((text) => ({ type: 'application/json', bytes: Buffer.from(text) })),
            undefined,
            15,
          )
    const kinds = Object.entries(requestBody.content).map(([type, { schema, examples = {} }]) => {
      const fitting = fc.oneof(
        { weight: 2, arbitrary: fc.constantFrom(...Object.values(examples).map(({ value }) => value)) },
        { weight: 3, arbitrary: this.#values.of(schema) },
      )
      const text = (value: unknown) => Buffer.from(JSON.stringify(value) ?? 'null')
      const bytes = fc.oneof(
        { weight: 5, arbitrary: fitting.map(text) },
        { weight: 5, arbitrary: mutated(fitting).map(text) },
        { weight: 1, arbitrary: broken(fitting) },
      )
      return bytes.map((each) => ({ type, bytes: each }))
    })
    return rarely(fc.constant(undefined), fc.oneof(...kinds), 40)
  }
}

/** Where more can be said, more is tried. */
function weightOf({ path, operation }: Route): number {
  return (
    1 + (path.includes('{') ? 2 : 0) + (operation.requestBody ? 6 : 0) + (operation.parameters?.some(isQuery) ? 3 : 0)
  )
}

function isQuery(parameter: Parameter | Reference): parameter is Parameter {
  return 'in' in parameter && parameter.in === 'query'
}

function encode(value: unknown): string {
  return encodeURIComponent((typeof value === 'string' ? value : JSON.stringify(value)).toWellFormed())
}

/** @returns mostly the usual, and once in so many times something else. */
function rarely<Odd, Usual>(odd: Arbitrary<Odd>, usual: Usual | Arbitrary<Usual>, once = 8): Arbitrary<Odd | Usual> {
  const usually = usual instanceof fc.Arbitrary ? usual : fc.constant(usual)
  const either = (arbitrary: Arbitrary<unknown>) => arbitrary as Arbitrary<Odd | Usual>
  return fc.oneof({ weight: once - 1, arbitrary: either(usually) }, { weight: 1, arbitrary: either(odd) })
}
