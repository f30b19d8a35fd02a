import { expect, it } from 'vitest'
import { footprintRow } from './footprint.ts'

it('sums up the processes, and counts the data of Redis as part of Redis', () => {
  const rounds = [
    { Postgres: 100, Redis: 20, 'of it data': 15, API: 200, worker: 300 },
    { Postgres: 110, Redis: 30, 'of it data': 25, API: 200, worker: 300 },
  ]
  const row = footprintRow({ name: 'no jobs', note: 'new' }, rounds)
  expect(row).toMatchObject({ contestant: 'no jobs', note: 'new', values: [620, 640] })
  expect(row.further).toMatchObject({ Redis: [20, 30], 'of it data': [15, 25] })
})
