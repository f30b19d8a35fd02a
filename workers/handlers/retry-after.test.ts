import { expect, it } from 'vitest'
import { retryAfterMs } from './retry-after.ts'

const now = Date.UTC(2030, 0, 1)

it.each([
  ['3', 3_000],
  [' 120 ', 120_000],
  ['0', 0],
  ['99999999', 86_400_000],
  ['Tue, 01 Jan 2030 00:01:00 GMT', 60_000],
  ['Mon, 31 Dec 2029 00:00:00 GMT', 0],
  ['Tue, 01 Jan 2031 00:00:00 GMT', 86_400_000],
  ['soon', undefined],
  ['', undefined],
  [undefined, undefined],
])('reads %j as %j ms', (header, ms) => {
  expect(retryAfterMs(header, now)).toBe(ms)
})
