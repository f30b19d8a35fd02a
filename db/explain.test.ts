import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { claimJobs, findSuspect } from './claim.ts'
import type { Sql } from './connect.ts'
import { newId } from './ids.ts'
import { cancelJob } from './cancel.ts'
import { findFinished, getJob } from './jobs.ts'
import { reportProgress } from './progress.ts'
import { promoteDue, promoteJob } from './promote.ts'
import { countQueues } from './queue-rows.ts'
import { handBack, requeueOrphans } from './requeue.ts'
import { settleAttempts } from './settle.ts'
import { findProbeTargets, sweepLost } from './sweep.ts'
import { readOwnedRuns } from './worker-rows.ts'

const worker = newId()
const finishedRows = 1_000_000

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Actual Rows': number
  'Rows Removed by Filter'?: number
  Plans?: Plan[]
}

/** Explains, while it runs, the statement that `call` sends. */
async function explain(record: TestRecord, call: (sql: Sql) => Promise<unknown>): Promise<Plan[]> {
  const plans: Plan[] = []
  await record.db.transactions.run(async (sql) => {
    await sql`set local enable_seqscan = off`
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
  plan.filter(
    (node) =>
      /Scan/.test(node['Node Type']) && (node['Relation Name'] === 'jobs' || node['Index Name']?.startsWith('jobs_')),
  )

const statements: [string, (sql: Sql) => Promise<unknown>][] = [
  ['claim', (sql) => claimJobs(sql, worker, [newId(), newId()])],
  ['looking for a suspect', (sql) => findSuspect(sql, ['default'])],
  [
    'settle',
    (sql) => settleAttempts(sql, [{ id: newId(), epoch: 1, outcome: 'completed', status: 'completed', output: '1' }]),
  ],
  ['reporting progress', (sql) => reportProgress(sql, [{ id: newId(), epoch: 1, fraction: 1, note: null }])],
  ['promote', (sql) => promoteDue(sql)],
  ['requeueing orphans', (sql) => requeueOrphans(sql)],
  ['handing back', (sql) => handBack(sql, newId())],
  ['the ownership check', (sql) => readOwnedRuns(sql, newId())],
  ['looking for probe targets', (sql) => findProbeTargets(sql, ['default'])],
  ['sweep', (sql) => sweepLost(sql, { queue: 'none', priority: 0, stamp: new Date().toISOString() })],
  ['cancel', (sql) => cancelJob(sql, 'default', newId())],
  ['promoting one', (sql) => promoteJob(sql, 'default', newId())],
  ['reading a job', (sql) => getJob(sql, 'default', newId())],
  ['looking for finished jobs', (sql) => findFinished(sql, [newId()])],
]

/** The statement must find its rows through an index, and look at hardly any others. */
async function expectFewRows(record: TestRecord, call: (sql: Sql) => Promise<unknown>): Promise<void> {
  const reads = readsOfJobs(await explain(record, call))
  expect(reads.length).toBeGreaterThan(0)
  for (const read of reads) {
    expect(read).not.toMatchObject({ 'Node Type': 'Seq Scan' })
    expect(read['Actual Rows'] + (read['Rows Removed by Filter'] ?? 0)).toBeLessThan(100)
  }
}

describe('With a million finished jobs', () => {
  let record: TestRecord
  beforeAll(async () => {
    record = await openRecord()
    await record.db.transactions.run(async (sql) => {
      await sql`
        insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms,
          created_at, finished_at)
        select gen_random_uuid(), 'default', 'echo', 'default', 'completed', 0, '{}', '{}', '{}', false, 1, 1, now(), now()
        from generate_series(1, ${finishedRows}::int)`
      await sql`insert into workers (id, host, pid, queues, concurrency, started_at, beat_at) values (${worker}, 'h', 1, '[]', 1, now(), now())`
    })
    await record.sql`analyze`
  }, 120_000)
  afterAll(() => record.close())

  it.each(statements)('%s reads hardly any', (_name, call) => expectFewRows(record, call))

  it('counting them stops at a limit', async () => {
    const [queue] = await countQueues(record.sql, 'default')
    expect(queue).toMatchObject({ completed: 10_000, queued: 0 })
  })
})

describe('In a table that has grown since Postgres looked at it last', () => {
  let record: TestRecord
  beforeAll(async () => {
    record = await openRecord()
    await record.sql`alter table jobs set (autovacuum_enabled = off)`
    await record.sql`insert into workers (id, host, pid, queues, concurrency, started_at, beat_at) values (${worker}, 'h', 1, '[]', 1, now(), now())`
    const grow = (status: string, column: string, value: string) =>
      record.sql.unsafe(`
        insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms, created_at, ${column})
        select gen_random_uuid(), 'default', 'echo', 'default', '${status}', 0, '{}', '{}', '{}', false, 1, 1, now(), ${value}
        from generate_series(1, 5000)`)
    await grow('queued', 'ticketed_at', 'now()')
    await grow('running', 'worker_id', `'${worker}'`)
    await grow('scheduled', 'run_at', `now() + interval '1 day'`)
    await grow('completed', 'finished_at', 'now()')
  })
  afterAll(() => record.close())

  const byKey = statements.filter(([name]) => !['requeueing orphans', 'looking for probe targets'].includes(name))
  it.each(byKey)('%s reads hardly any', (_name, call) => expectFewRows(record, call))
})
