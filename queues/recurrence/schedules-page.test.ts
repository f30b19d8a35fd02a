import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { firedOn } from './fired-on.ts'
import { openRecurrence } from './recurrence.ts'

const page = await readFile(new URL('../../docs/schedules.md', import.meta.url), 'utf8')

/** The rows of a table, each as the quoted pieces of its cells. */
function rowsUnder(heading: RegExp): string[][][] {
  const lines = page.split('\n')
  const start = lines.findIndex((line) => heading.test(line)) + 2
  const length = lines.slice(start).findIndex((line) => !line.startsWith('|'))
  return lines.slice(start, start + length).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, piece = '']) => piece)),
  )
}

const days = rowsUnder(/^\| expression +\| from/)
const changes = rowsUnder(/^\| expression +\| with/)

it('has tables', () => {
  expect([days.length, changes.length]).toEqual([7, 11])
})

it.each(days)('fires on the days that the page says: %s from %s', ([cron = ''], [from = ''], expected = []) => {
  const taken = openRecurrence({ cron }).take(new Date(from), expected.length)
  expect(taken.map(({ at }) => at.toISOString().slice(0, 10))).toEqual(expected)
})

it.each(changes)(
  'fires where clocks are moved as the page says: %s %s in %s on %s',
  ([cron = ''], [option], [timeZone = ''], [day = ''], expected = []) => {
    const options = JSON.parse(`{${option ?? ''}}`)
    expect(firedOn(day, { cron, timeZone, ...options })).toEqual(expected)
  },
)

it.each(['5-59/15 * * * *', '0 22,23,0-4 * * *'])('takes what the page says to write instead: %s', (cron) => {
  expect(openRecurrence({ cron }).take(new Date(0), 2)).toHaveLength(2)
})
