import { expect, it } from 'vitest'
import { percentile } from './percentile.ts'

it.each([
  { values: [], percent: 50, found: undefined },
  { values: [7], percent: 1, found: 7 },
  { values: [7], percent: 99, found: 7 },
  { values: [30, 10, 20], percent: 50, found: 20 },
  { values: [4, 3, 2, 1], percent: 50, found: 2 },
  { values: Array.from({ length: 100 }, (_, at) => at + 1), percent: 99, found: 99 },
  { values: Array.from({ length: 100 }, (_, at) => at + 1), percent: 100, found: 100 },
])('percentile $percent of $values.length values is $found', ({ values, percent, found }) => {
  expect(percentile(values, percent)).toBe(found)
})

it('leaves the values in their order', () => {
  const values = [3, 1, 2]
  percentile(values, 50)
  expect(values).toEqual([3, 1, 2])
})
