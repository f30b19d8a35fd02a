import { stripVTControlCharacters } from 'node:util'
import { expect, it } from 'vitest'
import { formatCount, formatDuration, formatTable } from './table.ts'

it('makes columns as wide as their widest cell, with names left and numbers right', () => {
  const lines = formatTable<{ name: string; count: number }>(
    [
      { title: 'name', cell: ({ name }) => name, align: 'left' },
      { title: 'jobs', cell: ({ count }) => formatCount(count) },
    ],
    [
      { name: 'echo', count: 7 },
      { name: 'github.event', count: 12_345 },
    ],
  )
  expect(lines.map(stripVTControlCharacters)).toEqual([
    'name            jobs', //
    'echo               7',
    'github.event  12,345',
  ])
})

it('makes a heading alone where there are no rows', () => {
  expect(formatTable([{ title: 'name', cell: String }], []).map(stripVTControlCharacters)).toEqual(['name'])
})

it.each([
  [undefined, '–'],
  [0, '0 ms'],
  [999.4, '999 ms'],
  [1_000, '1.00 s'],
  [61_234, '61.23 s'],
])('writes a duration of %s ms as %s', (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text)
})
