import { expect, it } from 'vitest'
import { parseArguments, parts } from './arguments.ts'

const parse = (...words: string[]) => parseArguments(words, () => 7)

it('Without words, every part runs on both carriers with a seed by chance', () => {
  const all = parse()
  expect(all.parts).toEqual(Object.keys(parts))
  expect(all.carriers).toEqual(['redis', 'postgres'])
  expect(all.seed).toBe(7)
  expect(all.append).toBe(false)
  expect(all.minutes('storm')).toBe(parts.storm.minutes)
})

it('A part, a carrier, a seed and a time can be named', () => {
  const some = parse('storm', '--carrier', 'embedded', '--seed', '42', '--minutes', '0.5', '--append')
  expect(some).toMatchObject({ parts: ['storm'], carriers: ['postgres'], seed: 42, append: true })
  expect(some.minutes('storm')).toBe(0.5)
})

it('Rows can be named, one or several', () => {
  expect(parse('rows', '--row', '9', '--row', '15').rows).toEqual([9, 15])
  expect(parse('rows').rows).toEqual([])
})

it('A quick run takes less time for each part', () => {
  const quick = parse('--quick')
  for (const part of quick.parts) expect(quick.minutes(part)).toBeLessThan(parts[part].minutes)
})

it.each([
  [['strom'], 'There is no part "strom"; there are storm, '],
  [['--carrier', 'valkey'], '--carrier takes redis or embedded, not "valkey".'],
  [['--seed', 'x'], '--seed takes a number from 1 to 2,147,483,647, not "x".'],
  [['--minutes', ''], '--minutes takes a number from 0.1 to 600, not "".'],
  [['--row', '0'], '--row takes a number from 1 to 36, not "0".'],
  [['--sed', '1'], "Unknown option '--sed'. Usage: npm run chaos"],
] as const)('%j is refused with what would be right', (words, message) => {
  expect(() => parse(...words)).toThrow(message)
})
