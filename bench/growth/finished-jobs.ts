import type { Sql } from 'postgres'
import type { Bench, Servers } from '../bench.ts'
import { expectCount } from '../process/contestant.ts'
import { measureSpeedAt } from '../process/measure.ts'
import { emptyRedis, makeDatabase, withPostgres } from '../servers.ts'
import { carriers } from './carriers.ts'

/** A database that looks as if the platform had completed many jobs in the last days. */
export interface FilledDatabase {
  /** postgres://… */
  readonly url: string
  readonly jobs: number
  /** How long it took to fill, in milliseconds, and how large it was then, in bytes. */
  readonly tookMs: number
  readonly bytes: number
}

/** Time over which the finished jobs are spread, in days, up to now; less than they are kept. */
export const spreadDays = 3
/** Jobs that one settlement ended. */
export const jobsPerEnding = 100
/** Jobs that one statement makes. */
const chunkSize = 200_000
/** Jobs that are really processed first: one of them is the pattern of all others. */
const patternJobs = 100

/**
 * Share of a page that the jobs take which the platform has put there, in percent: rows grow after they were inserted. With less, each
 * page would have room for one more new job, and new jobs would be strewn over all old pages.
 */
const grownPageShare = 47

const filled = new Map<number, FilledDatabase>()

/** @returns the databases that this run has filled so far. */
export function listFilled(): FilledDatabase[] {
  return [...filled.values()]
}

/**
 * Fills a database, once in a run for each size. A job is processed for real, and its rows are copied with other ids, times and
 * values: so the rows are what the platform leaves, whatever that is.
 *
 * @throws Error when less is there than was to be made.
 */
export async function fillFinished(bench: Bench, jobs: number): Promise<FilledDatabase> {
  const known = filled.get(jobs)
  if (known) return known
  const startedAt = performance.now()
  const url = await makeDatabase(bench.servers, `finished_${jobs}`)
  await processSome(bench, url)
  const bytes = await withPostgres(url, async (sql) => {
    await takePattern(sql)
    const share = await setPageShare(sql, grownPageShare)
    for (let made = 0; made < jobs; made += chunkSize) {
      bench.tell(`filling in finished jobs · ${made.toLocaleString('en-US')} of ${jobs.toLocaleString('en-US')}`)
      await copyPattern(sql, jobs, made, Math.min(made + chunkSize, jobs))
    }
    await setPageShare(sql, share)
    bench.tell('filling in finished jobs · vacuum')
    await sql`vacuum (analyze)`
    await sql`checkpoint`
    await expectFinished(sql, jobs)
    const [size] = await sql<{ bytes: number }[]>`select pg_database_size(current_database())::float8 as bytes`
    return size?.bytes ?? 0
  })
  const database = { url, jobs, tookMs: performance.now() - startedAt, bytes }
  filled.set(jobs, database)
  bench.tell(`filled in ${describeFill(database)}`)
  return database
}

/** @returns `1,000,000 jobs in 40 s, 0.6 GB`. */
export function describeFill({ jobs, tookMs, bytes }: FilledDatabase): string {
  return `${jobs.toLocaleString('en-US')} jobs in ${Math.round(tookMs / 1_000)} s, ${(bytes / 1e9).toFixed(2)} GB`
}

/**
 * Removes from a filled database, in which all jobs have ended, what a measurement left besides them: lists of jobs that are spent,
 * processes that were killed, the carrier's tables. And empties Redis.
 */
export async function tidyUp(servers: Servers, { url }: FilledDatabase): Promise<void> {
  await emptyRedis(servers)
  await withPostgres(url, async (sql) => {
    await sql`truncate arrivals, claims, workers`
    await sql`drop schema if exists bullmq cascade`
  })
}

/** Has a few jobs processed as any other. */
async function processSome(bench: Bench, databaseUrl: string): Promise<void> {
  const [carrier] = carriers
  if (!carrier) throw new Error('There is no carrier')
  await emptyRedis(bench.servers)
  const few = { ...carrier.speed, jobs: patternJobs }
  await measureSpeedAt({ databaseUrl, redisUrl: bench.servers.redisUrl }, bench, few)
}

/** Sets how far inserts fill pages of `jobs`, in percent. @returns what it was. */
async function setPageShare(sql: Sql, percent: number): Promise<number> {
  const [row] = await sql<{ share: number }[]>`
    select coalesce(substring(array_to_string(reloptions, ',') from 'fillfactor=(\\d+)')::int, 100) as share
    from pg_class where oid = 'jobs'::regclass`
  await sql.unsafe(`alter table jobs set (fillfactor = ${percent})`)
  return row?.share ?? 100
}

/** Takes the rows of one job out of the tables, which are empty then, to where they are copied from. */
async function takePattern(sql: Sql): Promise<void> {
  for (const table of ['jobs', 'outbox', 'endings']) {
    await sql.unsafe(`create temporary table pattern_of_${table} as select * from ${table} limit 1`)
    await sql.unsafe(`truncate ${table}`)
  }
}

/** Columns that a copy does not share with its pattern; of `made`: the number of the job `n`, its `id`, and its creation `moment`. */
const ownColumns: Readonly<Record<'jobs' | 'outbox', Readonly<Record<string, string>>>> = {
  jobs: {
    id: 'made.id',
    input: `format('{"value":%s}', n)::json`,
    output: `format('{"value":%s}', n)::json`,
    created_at: 'moment',
    started_at: `moment + interval '10 ms'`,
    finished_at: `moment + interval '20 ms'`,
  },
  outbox: { id: 'made.id', job_id: 'made.id', occurred_at: `moment + interval '20 ms'` },
}

/** Makes the jobs of these numbers, of so many in all, with their events and endings. */
async function copyPattern(sql: Sql, jobs: number, from: number, until: number): Promise<void> {
  const [job, event] = await Promise.all([copyColumns(sql, 'jobs'), copyColumns(sql, 'outbox')])
  await sql.unsafe(`
    with planned as materialized (
      select n, now() - interval '${spreadDays} days' * (1 - n / ${jobs}::float8) as moment
      from generate_series(${from}, ${until - 1}) as n
    ), made as materialized (
      select n, moment, uuidv7(moment - clock_timestamp()) as id from planned
    ), job as (
      insert into jobs (${job.names}) select ${job.values} from made, pattern_of_jobs as pattern
    ), event as (
      insert into outbox (${event.names}) select ${event.values} from made, pattern_of_outbox as pattern
    )
    insert into endings (queue, tenant, status, ended_at, job_ids, jobs, events, position)
    select queue, tenant, status, max(moment) + interval '20 ms', array_agg(made.id order by n), count(*), count(*), max(n) + 1
    from made, pattern_of_endings as pattern
    group by queue, tenant, status, n / ${jobsPerEnding}`)
  await sql`update stream set head = ${until}`
}

/** @returns the columns of a table and what they get, the pattern's value where a copy has none of its own. */
async function copyColumns(sql: Sql, table: keyof typeof ownColumns): Promise<{ names: string; values: string }> {
  const columns = await sql<{ name: string }[]>`
    select column_name as name from information_schema.columns where table_name = ${table} order by ordinal_position`
  const names = columns.map(({ name }) => name)
  const values = names.map((name) => ownColumns[table][name] ?? `pattern.${name}`)
  return { names: names.join(', '), values: values.join(', ') }
}

async function expectFinished(sql: Sql, jobs: number): Promise<void> {
  const [found] = await sql<{ completed: number; told: number; ended: number; live: number }[]>`
    select (select count(*) from jobs where status = 'completed')::int as completed, (select count(*) from outbox)::int as told,
      (select sum(jobs) from endings)::int as ended, (select count(*) from jobs where finished_at is null)::int as live`
  expectCount('Completed jobs', found?.completed, jobs)
  expectCount('Outbox events', found?.told, jobs)
  expectCount('Jobs that endings list', found?.ended, jobs)
  expectCount('Jobs that have not ended', found?.live, 0)
}
