import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { claimJobs, findSuspect } from './claim.ts'
import type { Sql } from './connect.ts'
import { newId } from './ids.ts'
import { findFinished, getJob } from './jobs.ts'
import { promoteDue } from './promote.ts'
import { countQueues } from './queue-rows.ts'
import { requeueOrphans } from './requeue.ts'
import { settleAttempts } from './settle.ts'
import { findProbeTargets, sweepLost } from './sweep.ts'
import { readOwnedRuns } from './worker-rows.ts'

let record: TestRecord
const worker = newId()
const finishedRows = 1_000_000

beforeAll(async () => {
  record = await openRecord()
  await record.sql`set statement_timeout = 0`
  await record.sql`
    insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms, created_at, finished_at)
    select gen_random_uuid(), 'default', 'echo', 'default', 'completed', 0, '{}', '{}', '{}', false, 1, 1, now(), now()
    from generate_series(1, ${finishedRows}::int)`
  await record.sql`insert into workers (id, host, pid, queues, concurrency, started_at, beat_at) values (${worker}, 'h', 1, '[]', 1, now(), now())`
  await record.sql`analyze`
}, 120_000)
afterAll(() => record.close())

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Actual Rows': number
  Plans?: Plan[]
}

/** Explains, while it runs, the statement that `call` sends. */
async function explain(call: (sql: Sql) => Promise<unknown>): Promise<Plan[]> {
  const plans: Plan[] = []
  await record.db.transactions.run(async (sql) => {
    const explaining = new Proxy(sql, {
      apply: (target, self, [strings, ...values]: [TemplateStringsArray, ...unknown[]]) => {
        const first = strings[0] ?? ''
        if (!/^\s*(with|select|update|insert|delete)\b/.test(first) || isFragment(first))
          return Reflect.apply(target, self, [strings, ...values])
        const prefixed = Object.assign([`explain (analyze, format json) ${first}`, ...strings.slice(1)], {
          raw: [`explain (analyze, format json) ${first}`, ...strings.slice(1)],
        })
        return Reflect.apply(target, self, [prefixed, ...values]).then((rows: { queryPLAN?: [{ Plan: Plan }] }[]) => {
          const [row] = rows as unknown as Record<string, [{ Plan: Plan }]>[]
          const [plan] = Object.values(row ?? {})
          if (plan) plans.push(plan[0].Plan)
          return []
        })
      },
    })
    await call(explaining)
  })
  return plans.flatMap(flatten)
}

/** Fragments start with a blank line or stand inside another statement; whole statements are the only ones awaited. */
function isFragment(text: string): boolean {
  return /^\s*(insert into outbox|select j\.id, j\.worker_id)/.test(text)
}

function flatten(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(flatten)]
}

const readsOfJobs = (plan: Plan[]) =>
  plan.filter((node) => node['Relation Name'] === 'jobs' && /Scan/.test(node['Node Type']))

it.each<[string, (sql: Sql) => Promise<unknown>]>([
  ['claim', (sql) => claimJobs(sql, worker, [newId(), newId()])],
  ['looking for a suspect', (sql) => findSuspect(sql, ['default'])],
  [
    'settle',
    (sql) => settleAttempts(sql, [{ id: newId(), epoch: 1, outcome: 'completed', status: 'completed', output: '1' }]),
  ],
  ['promote', (sql) => promoteDue(sql)],
  ['requeueing orphans', (sql) => requeueOrphans(sql)],
  ['the ownership check', (sql) => readOwnedRuns(sql, worker)],
  ['looking for probe targets', (sql) => findProbeTargets(sql, ['default'])],
  ['sweep', (sql) => sweepLost(sql, { queue: 'default', priority: 0, stamp: new Date().toISOString() })],
  ['reading a job', (sql) => getJob(sql, 'default', newId())],
  ['looking for finished jobs', (sql) => findFinished(sql, [newId()])],
])('%s reads the jobs through an index, whatever has finished', async (_name, call) => {
  const plan = await explain(call)
  const reads = readsOfJobs(plan)
  expect(reads.length).toBeGreaterThan(0)
  for (const read of reads) {
    expect(read['Node Type']).not.toBe('Seq Scan')
    expect(read['Actual Rows']).toBeLessThan(100)
  }
})

it('counts finished jobs up to a limit', async () => {
  const [queue] = await countQueues(record.sql, 'default')
  expect(queue).toMatchObject({ completed: 10_000, queued: 0 })
})
