import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { expect, inject, it, onTestFinished } from 'vitest'
import { newJob } from '../testing/record.ts'
import { connect } from './connect.ts'
import { newId } from './ids.ts'
import { insertJobs, type NewJob } from './intake.ts'
import journal from './migrations/meta/_journal.json' with { type: 'json' }
import { migrate } from './migrate.ts'
import { listJobs, type JobFilter } from './search.ts'

/** Makes a database that has the first migrations only. */
async function databaseOf(migrations: number): Promise<string> {
  const admin = postgres(inject('postgresAdminUrl'), { max: 1, onnotice: () => {} })
  const name = `test_${randomUUID().replaceAll('-', '')}`
  await admin.unsafe(`create database ${name}`)
  onTestFinished(async () => {
    await admin.unsafe(`drop database ${name}`)
    await admin.end()
  })
  const url = new URL(inject('postgresAdminUrl'))
  url.pathname = `/${name}`
  const sql = postgres(url.href, { max: 1 })
  await sql`create table schema_migrations (id serial primary key, hash text not null, created_at bigint)`
  for (const { tag, when } of journal.entries.slice(0, migrations)) {
    await sql.unsafe(await readFile(new URL(`./migrations/${tag}.sql`, import.meta.url), 'utf8'))
    await sql`insert into schema_migrations (hash, created_at) values (${tag}, ${when})`
  }
  await sql.end()
  return url.href
}

it('What had ended before there were places gets one, and the stream begins with it', async () => {
  const url = await databaseOf(2)
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  await sql`
    insert into endings (queue, tenant, status, ended_at, job_ids, jobs)
    values ('default', 'default', 'completed', now(), array[gen_random_uuid(), gen_random_uuid()], 2)`
  await migrate(url)
  await migrate(url)
  expect(await sql`select jobs, events, position from endings`).toEqual([{ jobs: 2, events: 2, position: null }])
  expect(await sql`select head, tail from stream`).toEqual([{ head: '0', tail: '0' }])
  const [storage] =
    await sql`select attstorage from pg_attribute where attrelid = 'endings'::regclass and attname = 'job_ids'`
  expect(storage).toEqual({ attstorage: 'e' })
})

it('Jobs from before they could be searched are found as new ones are', async () => {
  const url = await databaseOf(5)
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  const jobs = [
    { status: 'failed', tags: ['a', 'b', 'a'], metadata: '{"customer":42,"a=~b":"c","none":null,"list":[1]}' },
    { status: 'cancelled', tags: [], metadata: '{}' },
    { status: 'completed', tags: ['a'], metadata: JSON.stringify({ long: 'x'.repeat(300), paid: true }) },
    { status: 'completed', tags: [], metadata: '{"nul":"\\u0000","b":1}' },
    {
      status: 'completed',
      tags: [],
      metadata: JSON.stringify(Object.fromEntries(Array.from({ length: 25 }, (_, n) => [`f${n}`, n]))),
    },
  ].map((job) => newJob(job))
  for (const { id, tags, metadata, status } of jobs as (NewJob & { status: string })[])
    await sql`
      insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms, created_at, finished_at)
      values (${id}, 'default', 'echo', 'default', ${status}, 0, '1', ${metadata}::text::json, ${[...tags]}, false, 1, 1, now(), now())`
  await migrate(url)
  const wordsOf = (tenant: string) => sql`
    select array_agg(word order by word) as words from search_words where tenant = ${tenant} and word not like 'status:%'`
  const found = await wordsOf('default')
  const db = connect(url, { applicationName: 'test' })
  onTestFinished(() => db.close())
  await insertJobs(
    db.sql,
    jobs.map((job) => ({ ...job, id: newId(), tenant: 'new' })),
  )
  expect(found).toEqual(await wordsOf('new'))
  const find = async (filter: JobFilter) =>
    (await listJobs(db.listings, 'default', filter, 10)).jobs.map(({ id }) => id)
  expect(await find({ status: 'failed', tag: 'a', metadata: { customer: '42', 'a=~b': 'c' } })).toEqual([jobs[0]!.id])
  expect(await find({ status: 'cancelled' })).toEqual([jobs[1]!.id])
})

it('What the version before ends during a deployment has its events, but for deliveries', async () => {
  const url = await databaseOf(journal.entries.length)
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  await sql`
    insert into endings (queue, tenant, status, ended_at, job_ids, jobs)
    select queue, 'default', 'completed', now(), array[gen_random_uuid(), gen_random_uuid()], 2
    from unnest(array['default', 'webhooks']) as queue`
  expect(await sql`select queue, events from endings order by queue`).toEqual([
    { queue: 'default', events: 2 },
    { queue: 'webhooks', events: 0 },
  ])
})

it('A migration waits for a settlement under way, which waits for none of its tables', async () => {
  const url = await databaseOf(2)
  const sql = postgres(url, { max: 1 })
  onTestFinished(() => sql.end())
  await sql`begin`
  await sql`lock table jobs in row exclusive mode`
  const migrated = migrate(url)
  const waiting = () => sql`select from pg_locks where locktype = 'relation' and not granted
    and database = (select oid from pg_database where datname = current_database())`
  await expect.poll(waiting, { timeout: 10_000 }).not.toHaveLength(0)
  for (const table of ['attempts', 'outbox', 'endings'])
    await sql.unsafe(`lock table ${table} in row exclusive mode nowait`)
  await sql`commit`
  await migrated
})
