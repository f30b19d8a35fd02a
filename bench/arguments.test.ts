import { expect, it } from 'vitest'
import { parseArguments } from './arguments.ts'

const parse = (line: string) => parseArguments(line.split(' ').filter(Boolean), 'bench')

it('runs everything but growth, notify and http five times and keeps the results when nothing is said', () => {
  const parts = ['process', 'batched', 'accept', 'latency']
  expect(parse('')).toEqual({ report: 'results', parts, quick: false, rounds: 5, out: 'bench' })
})

it('runs named parts only, in the usual order, and keeps nothing', () => {
  expect(parse('latency process')).toMatchObject({ parts: ['process', 'latency'], out: undefined })
})

it.each(['--quick', '--rounds 4', '--quick --rounds 9', 'process batched accept', 'growth --quick', 'idle --quick'])(
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

it('runs all parts of growth three times and keeps what they find', () => {
  const parts = ['finished', 'waiting', 'idle']
  expect(parse('growth')).toEqual({ report: 'growth', parts, quick: false, rounds: 3, out: 'bench' })
})

it('runs all parts of notify, or one, and keeps what they find', () => {
  const parts = ['endpoints', 'deliveries', 'arrival', 'streams']
  expect(parse('notify')).toEqual({ report: 'notify', parts, quick: false, rounds: 3, out: 'bench' })
  expect(parse('streams --rounds 1')).toMatchObject({ report: 'notify', parts: ['streams'], out: 'bench' })
  expect(parse('notify --quick').out).toBeUndefined()
})

it('runs http five times and keeps what it finds', () => {
  expect(parse('http')).toEqual({ report: 'http', parts: ['http'], quick: false, rounds: 5, out: 'bench' })
  expect(parse('http --quick')).toMatchObject({ rounds: 1, out: undefined })
})

it('keeps what one part of growth finds, whatever the rounds', () => {
  expect(parse('idle')).toMatchObject({ report: 'growth', parts: ['idle'], rounds: 3, out: 'bench' })
  expect(parse('waiting --rounds 1')).toMatchObject({ report: 'growth', parts: ['waiting'], rounds: 1, out: 'bench' })
})

it.each([
  [
    'proces',
    'There is no part "proces"; there are process, batched, accept, latency; of growth finished, waiting, idle; of notify endpoints, deliveries, arrival, streams; of http http.',
  ],
  ['growth proces', 'There is no part "proces"'],
  ['latency growth', 'The parts of growth run by themselves, without latency.'],
  ['notify idle', 'The parts of growth run by themselves, without endpoints.'],
  ['http process', 'The parts of http run by themselves, without process.'],
  ['streams process', 'The parts of notify run by themselves, without process.'],
  ['idle accept', 'The parts of growth run by themselves, without accept.'],
  ['--rounds 0', '--rounds takes a whole number from 1 to 100, not "0".'],
  ['--rounds many', '--rounds takes a whole number from 1 to 100, not "many".'],
  ['--fast', "Unknown option '--fast'"],
])('refuses %s in one line', (line, message) => {
  expect(() => parse(line)).toThrow(message)
})
