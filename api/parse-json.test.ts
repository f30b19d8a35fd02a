import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parseJson } from './parse-json.ts'
import { Problem } from './problem.ts'

it('reads what JSON.parse reads', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      fc.pre(!/__proto__|constructor/.test(text))
      let value: unknown
      try {
        value = parseJson(text)
      } catch (error) {
        expect(error).toBeInstanceOf(Problem)
        return
      }
      expect(value).toEqual(JSON.parse(text))
    }),
  )
})

it.each([
  '',
  '{',
  'NaN',
  '{"a":1,}',
  '{"__proto__":1}',
  String.raw`{"\u005f_proto__":1}`,
  '{"constructor":{"prototype":1}}',
])('refuses %s as no JSON', (text) => {
  expect(() => parseJson(text)).toThrow(expect.objectContaining({ kind: 'invalid-json' }))
})

it.each(['1e400', '-1e999', '12345678901234567890', '0.12345678901234567890', '9007199254740993'])(
  'refuses %s, which would be changed',
  (number) => {
    expect(() => parseJson(`{"n":${number}}`)).toThrow(expect.objectContaining({ kind: 'validation-failed' }))
  },
)

it.each([
  '1e3',
  '1E+3',
  '100000000000000000000',
  '1.5e-7',
  '0.1',
  '-0',
  '0e5',
  '9007199254740992',
  '1.0000000000000000',
  '123456789012345.5',
])('takes %s, which stays the same', (number) => {
  expect(parseJson(`{"n":${number}}`)).toEqual({ n: Number(number) })
})

it.each([
  ['arrays', '0,'.repeat(2_000_001).slice(0, -1), /more than 2000000 values/],
  ['empty arrays', '[],'.repeat(1_000_001).slice(0, -1), /more than 2000000 values/],
])('refuses more %s than a batch of vectors needs', (_what, items, message) => {
  expect(() => parseJson(`[${items}]`)).toThrow(message)
})

it('takes a batch of vectors of 16 MiB, in time', () => {
  const vector = JSON.stringify(Array.from({ length: 1_536 }, (_, n) => Math.sin(n)))
  const items = Array.from({ length: 500 }, () => `{"type":"echo","input":{"value":${vector}}}`)
  expect(parseJson(`{"jobs":[${items.join(',')}]}`)).toMatchObject({ jobs: { length: 500 } })
})

it('refuses no number that JavaScript itself writes', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (n) => {
      expect(parseJson(JSON.stringify({ n }))).toEqual({ n: n === 0 ? 0 : n })
    }),
  )
})

it('leaves a byte order mark out, also before numbers that are looked at twice', () => {
  expect(parseJson('\ufeff{"n":1e3}')).toEqual({ n: 1_000 })
})
