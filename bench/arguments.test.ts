import { expect, it } from 'vitest'
import { parseArguments, partNames } from './arguments.ts'

const parse = (line: string) => parseArguments(line.split(' ').filter(Boolean), 'bench')

it('runs everything five times and keeps the results when nothing is said', () => {
  expect(parse('')).toEqual({ parts: partNames, quick: false, rounds: 5, out: 'bench' })
})

it('runs named parts only, in the usual order, and keeps nothing', () => {
  expect(parse('latency process')).toMatchObject({ parts: ['process', 'latency'], out: undefined })
})

it.each(['--quick', '--rounds 4', '--quick --rounds 9', 'process batched accept'])(
  'does not overwrite the results of a whole run by %s',
  (line) => {
    expect(parse(line).out).toBeUndefined()
  },
)

it('writes where it is told', () => {
  expect(parse('--quick --out elsewhere')).toMatchObject({ rounds: 1, out: 'elsewhere' })
})

it('takes more rounds', () => {
  expect(parse('--rounds 9')).toMatchObject({ rounds: 9, out: 'bench' })
})

it.each([
  ['proces', 'There is no part "proces"; there are process, batched, accept, latency.'],
  ['--rounds 0', '--rounds takes a whole number from 1 to 100, not "0".'],
  ['--rounds many', '--rounds takes a whole number from 1 to 100, not "many".'],
  ['--fast', "Unknown option '--fast'"],
])('refuses %s in one line', (line, message) => {
  expect(() => parse(line)).toThrow(message)
})
