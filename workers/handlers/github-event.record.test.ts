import { claimJobs } from '@jobyard/db/claim'
import { settleAttempts } from '@jobyard/db/settle'
import { insertWorker } from '@jobyard/db/worker-rows'
import { githubEvent as contract } from '@jobyard/queues/contracts/github-event'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../../testing/record.ts'
import { Attempts } from '../attempts.ts'
import { Ownership, type Run } from '../ownership.ts'
import { ProgressReports } from '../progress-reports.ts'
import { Settlements } from '../settlements.ts'
import { githubEvent } from './github-event.ts'

let record: TestRecord
let ownership: Ownership
let attempts: Attempts
beforeAll(async () => {
  record = await openRecord()
  ownership = new Ownership()
  const { sql, db } = record
  await insertWorker(sql, { id: ownership.workerId, host: 'test', pid: 1, queues: [contract.queue], concurrency: 1 })
  const log = pino({ level: 'silent' })
  attempts = new Attempts([githubEvent], {
    ownership,
    settlements: new Settlements(sql, log),
    progress: new ProgressReports(sql),
    transactions: db.transactions,
    log,
  })
})
beforeEach(() => record.sql`truncate github_activity`)
afterAll(() => record.close())

interface Event {
  readonly repository: string
  readonly action?: string
  readonly tenant?: string
}

/** Stores jobs and claims them together. */
async function claim(events: readonly Event[]): Promise<Run[]> {
  const ids: string[] = []
  for (const { repository, action, tenant = 'default' } of events) {
    const input = JSON.stringify({ event: 'issues', payload: { action, repository: { full_name: repository } } })
    ids.push(await record.addJob({ type: contract.type, queue: contract.queue, tenant, input }))
  }
  const { jobs } = await claimJobs(record.sql, ownership.workerId, ids)
  return ownership.adopt(jobs, ownership.workerId)
}
const run = async (runs: readonly Run[]) => {
  const groups = attempts.group(runs)
  expect(groups).toHaveLength(1)
  await Promise.all(groups.map((group) => attempts.execute(group)))
  return Promise.all(runs.map(({ job }) => record.job(job.id)))
}
const activity = () =>
  record.sql`select tenant, repository, event, events::int, last_action from github_activity order by tenant, repository`

it('counts each event once, by tenant and repository, in the transaction that completes the jobs', async () => {
  const jobs = await run(
    await claim([
      { repository: 'a/two', action: 'opened' },
      { repository: 'a/one', action: 'opened' },
      { repository: 'a/one', action: 'closed', tenant: 'other' },
      { repository: 'a/one', action: 'closed' },
      { repository: 'a/two' },
    ]),
  )
  expect(jobs.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 'completed'))
  const outputs = new Map(jobs.map(({ id, output }) => [id, output]))
  expect([...outputs.values()]).toEqual([
    { repository: 'a/two', action: 'opened' },
    { repository: 'a/one', action: 'opened' },
    { repository: 'a/one', action: 'closed' },
    { repository: 'a/one', action: 'closed' },
    { repository: 'a/two' },
  ])
  expect(await activity()).toEqual([
    { tenant: 'default', repository: 'a/one', event: 'issues', events: 2, lastAction: 'closed' },
    { tenant: 'default', repository: 'a/two', event: 'issues', events: 2, lastAction: null },
    { tenant: 'other', repository: 'a/one', event: 'issues', events: 1, lastAction: 'closed' },
  ])
})

it('adds to what was counted before', async () => {
  await run(await claim([{ repository: 'a/one', action: 'opened' }]))
  await run(await claim([{ repository: 'a/one' }, { repository: 'a/one', action: 'edited' }]))
  expect(await activity()).toMatchObject([{ repository: 'a/one', events: 3, lastAction: 'edited' }])
})

it('does not count an event whose job is not owned any more', async () => {
  const runs = await claim([{ repository: 'a/one' }, { repository: 'a/two' }, { repository: 'a/three' }])
  const [, fenced] = runs
  await settleAttempts(record.sql, [{ id: fenced!.job.id, epoch: 1, outcome: 'cancelled', status: 'cancelled' }])
  const gone = fenced!.job.input as { payload: { repository: { full_name: string } } }
  const jobs = await run(runs)
  expect(jobs.map(({ status }) => status)).toEqual(['completed', 'cancelled', 'completed'])
  const counted = (await activity()).map(({ repository }) => repository as string)
  expect(counted).toHaveLength(2)
  expect(counted).not.toContain(gone.payload.repository.full_name)
})

it('counts nothing when the batch cannot be committed; each job is tried again', async () => {
  await record.sql`alter table github_activity add constraint broken check (repository <> 'a/two')`
  const jobs = await run(await claim([{ repository: 'a/one' }, { repository: 'a/two' }]))
  await record.sql`alter table github_activity drop constraint broken`
  expect(jobs).toMatchObject([
    { status: 'retrying', attemptsMade: 1 },
    { status: 'retrying', attemptsMade: 1 },
  ])
  expect(await activity()).toEqual([])
})

it('never lets two batches wait for each other, whatever their order', async () => {
  const names = Array.from({ length: 50 }, (_, n) => ({ repository: `a/${n}` }))
  const batches = await Promise.all([names, names.toReversed(), names.slice(25).concat(names)].map(claim))
  await Promise.all(batches.map(run))
  const [sums] = await record.sql`select count(*)::int as rows, sum(events)::int as events from github_activity`
  expect(sums).toEqual({ rows: 50, events: 175 })
})
