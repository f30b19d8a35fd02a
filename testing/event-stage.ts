import { Sequencer } from '@jobyard/workers/sequencer'
import { pino } from 'pino'
import { expect, onTestFinished } from 'vitest'
import { openEventStream, type TestStream } from './event-stream.ts'
import { listenOn, type ListeningApiOptions } from './listening-api.ts'
import { openRecord, type TestRecord } from './record.ts'

/** For machines that run all tests at once. */
export const patient = { timeout: 10_000 }

/** Names what is told of a job on its way, which others get not. */
export const named = 'type=job.progress,job.completed'

type Limits = ListeningApiOptions['eventStreamLimits']

/** A record whose events get their places when the test says so. */
export async function openStage() {
  const record = await openRecord()
  const sequencer = new Sequencer({ databaseUrl: record.url, log: pino({ level: 'silent' }) })
  onTestFinished(async () => {
    await sequencer.close()
    await record.close()
  })
  const place = async () => {
    while (await sequencer.runOnce());
  }
  const api = async (limits: Limits = {}) => {
    const listening = await listenOn(record.db, record.url, { eventStreamLimits: limits })
    const open = async (path: string, headers?: Record<string, string>) => {
      const stream = await openEventStream(listening.port, path, headers)
      onTestFinished(() => stream.close())
      return stream
    }
    return { ...listening, open }
  }
  return { record, sql: record.sql, place, api, end: (...jobs: Partial<EndedJob>[]) => endJobs(record, place, jobs) }
}
type Stage = Awaited<ReturnType<typeof openStage>>

interface EndedJob {
  readonly tenant: string
  readonly type: string
  readonly tags: string[]
  readonly status: 'completed' | 'failed'
}

/** Ends new jobs, and gives their events places. @returns their ids, in the order of their places. */
async function endJobs(record: TestRecord, place: () => Promise<void>, jobs: Partial<EndedJob>[]): Promise<string[]> {
  const ids: string[] = []
  for (const { status = 'completed', ...job } of jobs) {
    const id = await record.addJob(job)
    await record.end(id, status, 0)
    ids.push(id)
  }
  await place()
  return ids
}

/** Writes events of a job that do not end it, each with so many characters. */
export async function report(sql: TestRecord['sql'], jobId: string, count: number, characters = 1): Promise<void> {
  await sql`
    insert into outbox (id, tenant, job_id, type, occurred_at, data, sequence)
    select gen_random_uuid(), 'default', ${jobId}, 'job.progress', statement_timestamp(),
      json_build_object('fraction', 0.5, 'note', repeat('x', ${characters}::int)), n
    from generate_series(1, ${count}::int) as n`
}

export const jobsOf = (stream: TestStream) => stream.messages.map(({ data }) => data.data?.id)
export const many = (count: number) => Array.from({ length: count }, () => ({}))

/** Waits for the jobs of a stream's messages to be exactly these: a later one would show a double. */
export async function expectJobs(stream: TestStream, ids: string[]): Promise<void> {
  await expect.poll(() => jobsOf(stream).length, { interval: 5, timeout: 5_000 }).toBeGreaterThanOrEqual(ids.length)
  expect(jobsOf(stream)).toEqual(ids)
}

export async function pruneUpTo(sql: Stage['sql'], position: number): Promise<void> {
  await sql`delete from endings where position <= ${position}`
  await sql`update stream set tail = ${position}`
}

/** @returns what tells how often the stream was read. */
export async function countReads({ sql }: Stage): Promise<() => Promise<number>> {
  await sql`create extension pg_stat_statements`
  return async () => {
    const [row] = await sql`
      select coalesce(sum(calls), 0)::int as calls from pg_stat_statements
      where query like '%from stream as ends left join%' and dbid = (select oid from pg_database where datname = current_database())`
    return row?.calls as number
  }
}

/** Waits until nobody reads the stream any more. */
export async function expectRest(reads: () => Promise<number>): Promise<void> {
  let last = -1
  await expect
    .poll(async () => [last, (last = await reads())].reduce((a, b) => b - a), { interval: 200, timeout: 10_000 })
    .toBe(0)
}
