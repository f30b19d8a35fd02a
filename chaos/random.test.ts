import { expect, it } from 'vitest'
import { Random } from './random.ts'

const draw = (seed: number) => {
  const random = new Random(seed)
  return Array.from({ length: 50 }, () => random.int(1, 6))
}

it('The same seed decides the same, and another one something else', () => {
  expect(draw(1)).toEqual(draw(1))
  expect(draw(1)).not.toEqual(draw(2))
})

it('Numbers keep to their bounds, and reach them', () => {
  expect(new Set(draw(1))).toEqual(new Set([1, 2, 3, 4, 5, 6]))
})

it('What one actor asks does not change what another is told', () => {
  const [one, two] = [new Random(3), new Random(3)]
  const [first, second] = [one.fork(), two.fork()]
  first.int(1, 100)
  expect(first).not.toBe(second)
  expect(one.int(1, 1_000_000)).toBe(two.int(1, 1_000_000))
})

it('There must be something to choose from', () => {
  expect(() => new Random(1).pick([])).toThrow('nothing to choose from')
})
