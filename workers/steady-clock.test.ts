import { pino } from 'pino'
import { expect, it } from 'vitest'
import { SteadyClock } from './steady-clock.ts'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const year = 365 * day

/** A clock that shows what the test says, and time that passes as it says. */
function openClock(shows = 0) {
  let [clock, wall, passed] = [shows, 0, 0]
  const lines: string[] = []
  const log = pino({ level: 'warn', base: null }, { write: (line: string) => void lines.push(JSON.parse(line).msg) })
  const steady = new SteadyClock({ read: async () => clock, wallClock: () => wall, passedMs: () => passed, log })
  return {
    lines,
    isSteady: () => steady.isSteady(),
    pass: (ms: number) => {
      clock += ms
      wall += ms
      passed += ms
    },
    set: (ms: number) => {
      clock += ms
      wall += ms
    },
  }
}

it('A clock that goes on is believed, also over a long time', async () => {
  const { isSteady, pass, set } = openClock()
  for (const ms of [0, minute, year]) {
    pass(ms)
    set(minute)
    expect(await isSteady()).toBe(true)
  }
})

it.each([year, 2 * hour, -year])('A clock that jumps by %i ms is not believed until it is back', async (ms) => {
  const { isSteady, pass, set, lines } = openClock()
  expect(await isSteady()).toBe(true)
  set(ms)
  for (let round = 0; round < 3; round++) {
    pass(minute)
    expect(await isSteady()).toBe(false)
  }
  set(-ms)
  expect(await isSteady()).toBe(true)
  expect(lines).toHaveLength(3)
  expect(lines[0]).toMatch(
    /clock of Postgres shows .*, where 1970-01-01T00:01:00.000Z was expected; nothing is deleted/,
  )
})

it('The first look is compared with the clock of this process', async () => {
  expect(await openClock(2 * hour).isSteady()).toBe(true)
  expect(await openClock(2 * day).isSteady()).toBe(false)
  expect(await openClock(-2 * day).isSteady()).toBe(false)
})

it('A clock that shows nothing is not believed', async () => {
  const { isSteady, lines } = openClock(Number.NaN)
  expect(await isSteady()).toBe(false)
  expect(lines[0]).toContain('NaN')
})
