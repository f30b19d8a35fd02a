import { afterAll, beforeEach, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { findLeftOut, findProbeTargets, sweepLost, type ProbeTarget } from './sweep.ts'

let record: TestRecord
beforeEach(async () => {
  record ??= await openRecord()
  await record.sql`truncate jobs, arrivals`
})
afterAll(() => record.close())

/** Stores a queued job that got its ticket so many seconds ago. */
async function ticketed(secondsAgo: number, overrides = {}): Promise<string> {
  const id = await record.addJob(overrides)
  await record.ageTicket(id, secondsAgo)
  return id
}
async function target(priority = 0): Promise<ProbeTarget> {
  const [row] = await record.sql<{ stamp: string }[]>`select statement_timestamp()::text as stamp`
  return { queue: 'default', priority, stamp: row!.stamp }
}

it('asks for a probe only where a job has waited for longer than the margin', async () => {
  await ticketed(1)
  expect(await findProbeTargets(record.sql, ['default'])).toEqual([])
  await ticketed(6, { priority: 3 })
  expect(await findProbeTargets(record.sql, ['default', 'other'])).toMatchObject([{ queue: 'default', priority: 3 }])
  expect(await findProbeTargets(record.sql, ['other'])).toEqual([])
})

it('re-tickets what was ticketed longer than the margin before the stamp', async () => {
  const lost = await ticketed(60)
  await ticketed(3)
  await ticketed(60, { priority: 1 })
  await ticketed(60, { queue: 'other' })
  expect(await sweepLost(record.sql, await target())).toEqual([
    { id: lost, queue: 'default', priority: 0, type: 'echo', crashes: 0, alone: false },
  ])
  expect(await sweepLost(record.sql, await target())).toEqual([])
})

it('looks only at what came after the last proven stamp, and shortly before, where commits may have been late', async () => {
  const proven = (await target()).stamp
  const long = await ticketed(600)
  const late = await ticketed(60)
  expect(await sweepLost(record.sql, await target(), proven)).toMatchObject([{ id: late }])
  expect(await sweepLost(record.sql, await target())).toMatchObject([{ id: long }])
})

it('leaves out what is locked, and tells since when', async () => {
  const [locked, free] = [await ticketed(600), await ticketed(60)]
  const now = await target()
  await record.db.transactions.run(async (sql) => {
    await sql`select from jobs where id = ${locked} for update`
    expect(await sweepLost(record.sql, now)).toMatchObject([{ id: free }])
  })
  const [row] = await record.sql<{ since: string }[]>`select ticketed_at::text as since from jobs where id = ${locked}`
  expect(await findLeftOut(record.sql, now)).toBe(row?.since)
  expect(await sweepLost(record.sql, now, row?.since)).toMatchObject([{ id: locked }])
  expect(await findLeftOut(record.sql, now)).toBeUndefined()
})

it('leaves suspects alone: they have no tickets to lose', async () => {
  const id = await ticketed(60)
  await record.suspect(id)
  expect(await findProbeTargets(record.sql, ['default'])).toEqual([])
  expect(await sweepLost(record.sql, await target())).toEqual([])
})

it('gives each lost job to one of many that sweep at once', async () => {
  const ids = await Promise.all(Array.from({ length: 20 }, () => ticketed(60)))
  const stamp = await target()
  const swept = await Promise.all(Array.from({ length: 4 }, () => sweepLost(record.sql, stamp)))
  expect(
    swept
      .flat()
      .map(({ id }) => id)
      .toSorted(),
  ).toEqual(ids.toSorted())
})
