import { afterEach, beforeEach, expect, inject, it } from 'vitest'
import { createDatabase, type TestDatabase } from '../../testing/postgres.ts'
import { raceCancellations } from './cancel-race.ts'
import { runSequences } from './sequences.ts'

let databases: TestDatabase[]
beforeEach(async () => {
  const admin = inject('postgresAdminUrl')
  databases = [await createDatabase(admin), await createDatabase(admin)]
})
afterEach(() => Promise.all(databases.map((database) => database.drop())))

it('keeps every invariant through random sequences of everything that can happen to a job', async () => {
  const seed = Math.trunc(Math.random() * 2 ** 31)
  const { failure, runs, reached } = await runSequences({
    seed,
    runs: 150,
    databaseUrls: databases.map(({ url }) => url),
  })
  expect(failure?.report).toBeUndefined()
  expect(runs).toBe(150)
  expect([...reached.endings.keys()]).toEqual(
    expect.arrayContaining(['completed', 'cancelled', 'error', 'expired', 'crash_loop']),
  )
  expect(reached.crowds).toBeGreaterThan(50)
})

it('has one outcome, which row, answer and event agree on, when a cancellation races with the end of a job', async () => {
  const seed = Math.trunc(Math.random() * 2 ** 31)
  const result = await raceCancellations({ seed, races: 200, databaseUrl: databases[0]!.url })
  expect(result.contradictions).toEqual([])
  expect(result.completed).toBeGreaterThan(0)
  expect(result.cancelled).toBeGreaterThan(0)
  expect(result.completed + result.cancelled).toBe(200)
})
