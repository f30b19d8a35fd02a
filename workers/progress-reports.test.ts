import { afterAll, beforeAll, expect, it } from 'vitest'
import { claimJobs } from '@jobyard/db/claim'
import { newId } from '@jobyard/db/ids'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { ProgressReports } from './progress-reports.ts'

let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

const report = (id: string, fraction: number) => ({ id, epoch: 1, fraction, note: null })

it('writes the newest report of each running job', async () => {
  const ids = [await record.addJob(), await record.addJob()]
  await claimJobs(record.sql, await record.addWorker(), ids)
  const reports = new ProgressReports(record.sql)
  for (const fraction of [0.25, 0.5, 7, Number.NaN]) for (const id of ids) reports.report(report(id, fraction))
  await reports.runOnce()
  for (const id of ids) expect(await record.job(id)).toMatchObject({ progress: 1 })
})

it('keeps the reports of ten thousand jobs while they cannot be written, and drops those of further ones', async () => {
  const [first, last] = [await record.addJob(), await record.addJob()]
  await claimJobs(record.sql, await record.addWorker(), [first, last])
  const reports = new ProgressReports(record.sql)
  reports.report(report(first, 0.5))
  for (let others = 1; others < 10_000; others++) reports.report(report(newId(), 0.5))
  reports.report(report(last, 0.5))
  reports.report(report(first, 1))
  await reports.runOnce()
  expect([(await record.job(first)).progress, (await record.job(last)).progress]).toEqual([1, null])
  reports.report(report(last, 1))
  await reports.runOnce()
  expect((await record.job(last)).progress).toBe(1)
})
