import { expect, it } from 'vitest'
import { median, medianRatio, percentile, rotate } from './statistics.ts'

it.each([
  [[7], 7],
  [[3, 1, 2], 2],
  [[4, 1, 3, 2], 2.5],
])('the median of %j is %d', (values, middle) => {
  expect(median(values)).toBe(middle)
})

it('there is no median and no percentile of nothing', () => {
  expect(() => median([])).toThrow('There are no values')
  expect(() => percentile([], 50)).toThrow('There are no values')
})

it.each([
  [50, 5],
  [90, 9],
  [91, 10],
  [100, 10],
])('percentile %d of 1 to 10 is %d', (percent, value) => {
  expect(percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent)).toBe(value)
})

it('a ratio is taken within each round, so a slow round of both does not count', () => {
  expect(medianRatio([100, 10, 400], [50, 5, 100])).toBe(2)
})

it('a ratio needs the same rounds of both', () => {
  expect(() => medianRatio([1, 2], [1])).toThrow('rounds that both have')
})

it('each turn begins with the next item and keeps the order', () => {
  const orders = [0, 1, 2, 3].map((turn) => rotate(['a', 'b', 'c'], turn).join(''))
  expect(orders).toEqual(['abc', 'bca', 'cab', 'abc'])
})
