import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parseLimit } from './limit.ts'

const number = fc.integer({ min: 1, max: 1_000_000_000 })
const unit = fc.constantFrom(['s', 1_000] as const, ['min', 60_000] as const, ['h', 3_600_000] as const)

it('reads every rate, whose burst is its number unless another is named', () => {
  fc.assert(
    fc.property(number, unit, fc.option(number), (count, [name, ms], burst) => {
      const text = `${count}/${name}${burst === null ? '' : ` burst ${burst}`}`
      expect(parseLimit(text)).toEqual({ perMs: count / ms, burst: burst ?? count })
    }),
  )
})

it('reads nothing else', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!/^\d+\/(s|min|h)( burst \d+)?$/.test(text))
      expect(parseLimit(text)).toBeUndefined()
    }),
  )
})

it.each([
  '',
  '500',
  '/s',
  '0/s',
  '5/s burst 0',
  '-1/s',
  '1.5/s',
  '1e3/s',
  '5/d',
  ' 5/s',
  '5/s ',
  '5/S',
  '5/s burst',
  '5/s  burst 9',
  '1000000001/s',
])('does not read "%s"', (text) => {
  expect(parseLimit(text)).toBeUndefined()
})
