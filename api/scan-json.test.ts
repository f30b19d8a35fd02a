import fc from 'fast-check'
import { expect, it } from 'vitest'
import { countMembers, findDoubleKey, scanJson } from './scan-json.ts'

/** As {@link scanJson}, of the value instead of the text. */
function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

function countValues(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce<number>((count, each) => count + countValues(each), 1)
}

it('Measures a text as its value is', () => {
  const strings = fc.string({ unit: fc.constantFrom('"', '\\', '{', '}', '[', ']', ':', ',', 'a', '\n', '\ud800') })
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(strings, fc.integer(), fc.array(tie('value')), fc.dictionary(strings, tie('value'))),
  }))
  fc.assert(
    fc.property(value, (each) => {
      const text = JSON.stringify(each)
      const { values, ...shape } = scanJson(text)
      expect(shape).toEqual({ depth: depthOf(each), members: countMembers(each) })
      expect(values).toBeGreaterThanOrEqual(countValues(each) - 1)
      expect(values).toBeLessThanOrEqual(2 * countValues(each))
      expect(findDoubleKey(text)).toBeUndefined()
    }),
  )
})

it.each([
  ['{"a":1,"b":{"a":1},"a":2}', 'a'],
  [String.raw`[{"":{"\u0061\"":1,"a\"":2}}]`, 'a"'],
  ['{"x":{"y":1},"z":[{"y":1,"y":1}]}', 'y'],
])('Finds the key that stands twice in %s', (text, key) => {
  expect(findDoubleKey(text)).toBe(key)
})

it('Finds the key that stands twice after a string as long as a body may be', () => {
  expect(findDoubleKey(`{"long":"${'x'.repeat(16_000_000)}","y":1,"y":1}`)).toBe('y')
})

it('Measures in time that grows with the text alone', () => {
  const time = (text: string) => {
    const start = performance.now()
    scanJson(text)
    return performance.now() - start
  }
  const quotes = `["${'\\'.repeat(4_000_000)}"]`
  expect(time(quotes)).toBeLessThan(2_000)
})

it.each(['', '"', '"\\', '}{', ']]]]', '{"a', ':::'])('Is not thrown off by %s, which is no JSON', (text) => {
  expect(scanJson(text).depth).toBeLessThan(2)
})
