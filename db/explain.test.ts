import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newJob, openRecord, type TestRecord } from '../testing/record.ts'
import { findUnended } from './behind.ts'
import { findHolders } from './deduplicate.ts'
import { copyJobs, redriveLeft } from './redrive.ts'
import { claimJobs, findSuspect } from './claim.ts'
import { connect, orderedPlans, type Database, type Sql } from './connect.ts'
import { newId } from './ids.ts'
import { insertJobs } from './intake.ts'
import { cancelJob } from './cancel.ts'
import { findFinished, getJob } from './jobs.ts'
import { deleteSpentArrivals, deleteSpentClaims, findArrivals } from './live.ts'
import { reportProgress } from './progress.ts'
import { promoteDue, promoteJob } from './promote.ts'
import { countQueues } from './queue-rows.ts'
import { handBack, requeueOrphans } from './requeue.ts'
import { lockSequence, placeEvents } from './sequence.ts'
import { listJobs, lookAt, type JobFilter } from './search.ts'
import { settleAttempts } from './settle.ts'
import { readJobEvents, readStream } from './stream.ts'
import { findLeftOut, findProbeTargets, sweepLost } from './sweep.ts'
import { countWaiting } from './waiting.ts'
import { readOwnedRuns } from './worker-rows.ts'

const worker = newId()
const finishedRows = 1_000_000
/** A job that has told much. */
const toldJob = newId()
const toldEvents = 5_000
/** Types of the tenant's jobs. */
const listedTypes = 4

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  Plans?: Plan[]
}

/** Explains, while they run, the statements that `call` sends; they are answered with nothing, or where they change nothing with their rows. */
async function explain(
  record: TestRecord,
  call: (sql: Sql) => Promise<unknown>,
  { settings = {}, changesNothing = false } = {},
): Promise<Plan[]> {
  const plans: Plan[] = []
  await record.db.transactions.run(async (sql) => {
    for (const [name, value] of Object.entries({ enable_seqscan: 'off', ...settings }))
      await sql`select set_config(${name}, ${String(value)}, true)`
    const explaining = new Proxy(sql, {
      apply: (target, self, [strings, ...values]: [TemplateStringsArray, ...unknown[]]) => {
        const query = Reflect.apply(target, self, [strings, ...values])
        const texts = [`explain (analyze, format json) ${strings[0]}`, ...strings.slice(1)]
        const explained = () => Reflect.apply(target, self, [Object.assign(texts, { raw: texts }), ...values])
        const answer = () => (changesNothing ? Reflect.apply(target, self, [strings, ...values]) : [])
        // Only whole statements are awaited; a query inside another one is a fragment of it.
        const then = async (resolve: (rows: unknown[]) => void, reject: (error: unknown) => void) => {
          try {
            const [row] = (await explained()) as Record<string, [{ Plan: Plan }]>[]
            const [plan] = Object.values(row ?? {})
            if (plan) plans.push(plan[0].Plan)
            resolve(await answer())
          } catch (error) {
            reject(error)
          }
        }
        // oxlint-disable-next-line unicorn/no-thenable -- a query of postgres.js is a thenable; this one explains itself when awaited
        return Object.assign(query, { then })
      },
    })
    await call(explaining)
  })
  return plans.flatMap(flatten)
}

function flatten(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(flatten)]
}

const listed = ['jobs', 'arrivals', 'claims', 'endings', 'outbox']
const readsOfLists = (plan: Plan[]) =>
  plan.filter(
    (node) =>
      /Scan/.test(node['Node Type']) &&
      listed.some((table) => node['Relation Name'] === table || node['Index Name']?.startsWith(`${table}_`)),
  )

const statements: [string, (sql: Sql) => Promise<unknown>][] = [
  ['claim', (sql) => claimJobs(sql, worker, [newId(), newId()])],
  [
    'claim of what nobody has locked',
    (sql) => claimJobs(sql, worker, [newId(), newId()], 'ordinary', { skipLocked: true }),
  ],
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
  ['looking for arrivals', (sql) => findArrivals(sql, ['default'])],
  ['deleting spent arrivals', (sql) => deleteSpentArrivals(sql, { queue: 'default', priority: 1 })],
  ['deleting spent claims', (sql) => deleteSpentClaims(sql, newId())],
  ['sweep', (sql) => sweepLost(sql, { queue: 'none', priority: 0, stamp: new Date().toISOString() })],
  [
    'looking for what a sweep left out',
    (sql) => findLeftOut(sql, { queue: 'none', priority: 0, stamp: new Date().toISOString() }),
  ],
  ['cancel', (sql) => cancelJob(sql, 'default', newId())],
  ['promoting one', (sql) => promoteJob(sql, 'default', newId())],
  ['reading a job', (sql) => getJob(sql, 'default', newId())],
  ['looking for finished jobs', (sql) => findFinished(sql, [newId()])],
  [
    'giving events their places',
    async (sql) => {
      await lockSequence(sql)
      await placeEvents(sql)
    },
  ],
  ['reading the stream', (sql) => readStream(sql, { after: 2_000, limit: 40 })],
  [
    'reading the events of a job',
    (sql) =>
      readJobEvents(sql, { tenant: 'default', jobId: toldJob, after: 2_000, limit: 40, types: ['job.progress'] }),
  ],
  [
    'looking for the end of a job',
    (sql) => readJobEvents(sql, { tenant: 'default', jobId: toldJob, after: 0, limit: 1, types: [] }),
  ],
  ['looking for what is in flight', (sql) => findUnended(sql, [newId()])],
  ['counting what waits', (sql) => countWaiting(sql, ['default'])],
  ['looking for the holders of keys', (sql) => findHolders(sql, [{ tenant: 'default', type: 'echo', key: 'k' }])],
  ['redriving', (sql) => redriveLeft(transactionOf(sql), 'default', [{ of: newId(), id: newId() }])],
  ['redriving what has failed', (sql) => copyJobs(sql, [{ of: newId(), id: newId() }])],
]

/** The statement must find its rows through an index, and look at hardly any others. */
async function expectFewRows(record: TestRecord, call: (sql: Sql) => Promise<unknown>): Promise<void> {
  const reads = readsOfLists(await explain(record, call))
  expect(reads.length).toBeGreaterThan(0)
  for (const read of reads) {
    expect(read).not.toMatchObject({ 'Node Type': 'Seq Scan' })
    expect(read['Actual Rows'] + (read['Rows Removed by Filter'] ?? 0)).toBeLessThan(100)
  }
}

/** Stands for the pool, of which `sql` is a transaction. */
function transactionOf(sql: Sql): Database['transactions'] {
  return { run: (work: (tx: Sql) => Promise<unknown>) => work(sql) } as unknown as Database['transactions']
}

const listings: [string, JobFilter, string][] = [
  ['all jobs', { queue: 'none' }, 'jobs_by_type'],
  ['completed jobs', { status: 'completed', queue: 'none' }, 'jobs_by_type'],
  ['jobs of a time', { createdAfter: new Date(0), createdBefore: new Date(1) }, 'jobs_by_type'],
  ['jobs of a common type', { type: 'echo', queue: 'none' }, 'jobs_by_type'],
  ['jobs of a rare type', { type: 'rare.1', queue: 'none' }, 'jobs_by_type'],
  ['jobs of a type that is none', { type: 'none' }, 'jobs_by_type'],
  ['jobs with a common tag', { tag: 'common', queue: 'none' }, 'search_words_tenant_word_job_id_pk'],
  ['jobs with a tag that is none', { tag: 'none' }, 'search_words_tenant_word_job_id_pk'],
  ['jobs with two words', { tag: 'common', metadata: { a: 'none' } }, 'search_words_tenant_word_job_id_pk'],
  ['failed jobs of a type', { status: 'failed', type: 'none' }, 'search_words_tenant_word_job_id_pk'],
]

/** Every look that a listing takes, with how many entries it met. */
async function looksOf(record: TestRecord, filter: JobFilter) {
  const how = { settings: orderedPlans, changesNothing: true }
  const plan = await explain(record, (sql) => listJobs(sql, 'default', filter, 50), how)
  const looks = plan
    .filter((node) => node['Index Name'] !== undefined)
    .map((node) => ({
      index: node['Index Name'],
      met: (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'],
    }))
  return { plan, looks }
}

const total = (looks: readonly { met: number }[]) => looks.reduce((all, { met }) => all + met, 0)

/** The listing must walk the lists of one index in their order, and look up what it meets, no more than it may look at. */
async function expectBoundedWalk(record: TestRecord, filter: JobFilter, index: string): Promise<void> {
  const { plan, looks } = await looksOf(record, filter)
  expect(looks[0]?.index).toBe(index)
  const kinds = plan.map((node) => node['Node Type'])
  expect(kinds.filter((kind) => /Seq Scan|Bitmap/.test(kind))).toEqual([])
  const walked = looks.filter((look) => look.index === index)
  expect(total(walked)).toBeLessThanOrEqual(2 * lookAt + 3 * listedTypes)
  expect(total(looks.filter((look) => look.index !== index))).toBeLessThanOrEqual(lookAt)
}

/** A full page must end as soon as it is full. */
async function expectShortWalk(record: TestRecord, filter: JobFilter): Promise<void> {
  const { looks } = await looksOf(record, filter)
  expect(looks.length).toBeGreaterThan(1)
  expect(total(looks)).toBeLessThanOrEqual(2 * 51 + 3 * listedTypes)
}

const fullPages: JobFilter[] = [{}, { type: 'echo' }, { tag: 'common' }, { tag: 'common', type: 'echo' }]

/** Gives jobs a word by which they are found. */
async function addCommonTag(record: TestRecord): Promise<void> {
  await record.sql`insert into search_words (tenant, word, job_id) select 'default', 'tag:common', id from (select id from jobs limit 200000) as tagged`
}

/** Has one job tell much more than another. */
async function addToldEvents({ sql }: TestRecord): Promise<void> {
  await sql`
    insert into outbox (id, tenant, job_id, type, occurred_at, data, sequence, position)
    select gen_random_uuid(), 'default', case when n % 10 = 0 then ${newId()}::uuid else ${toldJob}::uuid end,
      case when n % 10 = 1 then 'job.started' else 'job.progress' end, now(), '{}', n, n from generate_series(1, ${toldEvents}::int) as n`
}

/** Entries of indexes of `jobs` that were read so far. `sql` must have one connection, which has read them. */
async function countIndexReads(sql: Sql): Promise<number> {
  await sql`select pg_stat_force_next_flush()`
  const [row] = await sql<{ read: number }[]>`
    select sum(idx_tup_read)::int as read from pg_stat_user_indexes where relname = 'jobs'`
  return row?.read ?? 0
}

describe('With a million finished jobs', () => {
  let record: TestRecord
  beforeAll(async () => {
    record = await openRecord()
    await record.db.transactions.run(async (sql) => {
      await sql`
        insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms,
          created_at, finished_at)
        select uuidv7(), 'default', case when n % 1000 < 3 then 'rare.' || n % 1000 else 'echo' end, 'default', 'completed', 0, '{}', '{}', '{}', false, 1, 1, now(), now()
        from generate_series(1, ${finishedRows}::int) as n`
      await sql`
        insert into endings (queue, tenant, status, ended_at, job_ids, jobs, events, position)
        select queue, tenant, status, min(finished_at), array_agg(id), count(*), count(*), sum(count(*)) over (order by batch)
        from (select *, row_number() over () / 500 as batch from jobs) as j group by queue, tenant, status, batch`
      await sql`insert into workers (id, host, pid, queues, concurrency, started_at, beat_at) values (${worker}, 'h', 1, '[]', 1, now(), now())`
    })
    await addCommonTag(record)
    await addToldEvents(record)
    await record.sql`vacuum (analyze)`
  }, 120_000)
  afterAll(() => record.close())

  it.each(statements)('%s reads hardly any', (_name, call) => expectFewRows(record, call))

  it.each(listings)('listing %s looks at a bounded number', (_name, filter, index) =>
    expectBoundedWalk(record, filter, index),
  )

  it.each(fullPages)('a full page of %j looks at what it shows', (filter) => expectShortWalk(record, filter))

  describe('and lists of a few thousand that Postgres has not looked at yet', () => {
    const listedJobs = 8_000
    beforeAll(async () => {
      await record.sql`
        insert into arrivals (queue, priority, suspect, ticketed_at, job_ids)
        select 'default', 1, false, now() - interval '1 minute', array_agg(id)
        from (select id, row_number() over () / 20 as page from (select id from jobs order by id desc limit ${listedJobs}::int) as listed) as paged
        group by page`
      await record.sql`insert into claims (worker_id, claimed_at, job_ids) select ${worker}, ticketed_at, job_ids from arrivals`
      await record.sql`insert into claims (worker_id, claimed_at, job_ids) select ${newId()}, ticketed_at, job_ids from arrivals`
    })

    it.each([...statements, ['counting jobs', (sql: Sql) => countQueues(sql, 'default')] as const])(
      '%s reads what is listed at most',
      async (_name, call) => {
        const db = connect(record.url, { applicationName: 'test', max: 1 })
        const before = await countIndexReads(db.sql)
        await call(db.sql)
        expect((await countIndexReads(db.sql)) - before).toBeLessThan(4 * listedJobs)
        await db.close()
      },
    )
  })

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
    const grow = (status: string, columns: string, values: string) =>
      record.sql.unsafe(`
        insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms, created_at, ${columns})
        select gen_random_uuid(), 'default', case when n % 1000 < 3 then 'rare.' || n % 1000 else 'echo' end, 'default', '${status}', 0, '{}', '{}', '{}', false, 1, 1, now(), ${values}
        from generate_series(1, 5000) as n`)
    for (const table of ['arrivals', 'claims', 'endings', 'outbox']) {
      await record.sql.unsafe(`alter table ${table} set (autovacuum_enabled = off)`)
    }
    await grow('queued', 'ticketed_at', 'now()')
    await grow('running', 'worker_id, started_at', `'${worker}', now()`)
    await grow('scheduled', 'run_at, due_at', `now() + interval '1 day', now() + interval '1 day'`)
    await grow('completed', 'finished_at', 'now()')
    await record.sql`insert into arrivals select queue, priority, false, ticketed_at, array[id] from jobs where status = 'queued'`
    await record.sql`insert into claims select worker_id, started_at, array[id] from jobs where status = 'running'`
    await record.sql`insert into endings select queue, tenant, status, finished_at, array[id], 1, 1, row_number() over () from jobs where status = 'completed'`
    await addCommonTag(record)
    await addToldEvents(record)
  })
  afterAll(() => record.close())

  it.each(listings)('listing %s looks at a bounded number', (_name, filter, index) =>
    expectBoundedWalk(record, filter, index),
  )

  it.each(fullPages)('a full page of %j looks at what it shows', (filter) => expectShortWalk(record, filter))

  const byKey = statements.filter(([name]) => name !== 'requeueing orphans' && name !== 'counting what waits')
  it.each(byKey)('%s reads hardly any', (_name, call) => expectFewRows(record, call))
})

describe('With plans that were made while the table was tiny', () => {
  let record: TestRecord
  let db: Database
  beforeAll(async () => {
    record = await openRecord()
    await record.sql`alter table jobs set (autovacuum_enabled = off)`
    await record.sql`insert into workers (id, host, pid, queues, concurrency, started_at, beat_at) values (${worker}, 'h', 1, '[]', 1, now(), now())`
    db = connect(record.url, { applicationName: 'test', max: 1 })
  })
  afterAll(async () => {
    await db.close()
    await record.close()
  })

  const live = async () => {
    const id = await record.addJob()
    const { jobs } = await claimJobs(db.sql, worker, [id])
    for (const { epoch } of jobs)
      await settleAttempts(db.sql, [{ id, epoch, outcome: 'completed', status: 'completed', output: '1' }])
  }
  it('claim and settle read only what they are about when it has grown', async () => {
    for (let count = 0; count < 3; count++) await live()
    await record.sql`vacuum (analyze) jobs`
    await live()
    for (let count = 0; count < 20; count++) {
      await insertJobs(
        record.sql,
        Array.from({ length: 500 }, () => newJob()),
      )
    }
    const before = await countIndexReads(db.sql)
    await live()
    expect((await countIndexReads(db.sql)) - before).toBeLessThan(100)
  })

  it('requeueing orphans reads no jobs of workers that live when many run', async () => {
    const ids = await record.sql<{ id: string }[]>`
      insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms, created_at, ticketed_at)
      select uuidv7(), 'default', 'echo', 'default', 'queued', 0, '{}', '{}', '{}', false, 1, 1, now(), now() from generate_series(1, 20000)
      returning id`
    await record.sql`truncate claims`
    await record.sql`vacuum (analyze)`
    await requeueOrphans(db.sql)
    for (let at = 0; at < ids.length; at += 500) {
      const batch = ids.slice(at, at + 500).map(({ id }) => id)
      await claimJobs(record.sql, worker, batch)
    }
    const before = await countIndexReads(db.sql)
    await requeueOrphans(db.sql)
    expect((await countIndexReads(db.sql)) - before).toBeLessThan(100)
  })
})
