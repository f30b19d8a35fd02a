import { connect, type Database } from '@jobyard/db/connect'
import { endings } from '@jobyard/db/endings'
import { newId } from '@jobyard/db/ids'
import { insertJobs, type NewJob } from '@jobyard/db/intake'
import type { JobRow } from '@jobyard/db/jobs'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { lockSequence, placeEvents } from '@jobyard/db/sequence'
import type { TerminalStatus } from '@jobyard/db/statuses'
import { insertWorker } from '@jobyard/db/worker-rows'
import { inject } from 'vitest'
import { createDatabase, type TestDatabase } from './postgres.ts'

/** A row with everything that tests look at. */
export type StoredJob = JobRow & { workerId: string | null; ticketedAt: Date | null; cancelRequestedAt: Date | null }

/** A record of its own for one test file. */
export interface TestRecord {
  readonly url: string
  readonly db: Database
  readonly sql: Database['sql']
  /** Stores one job. */
  addJob(overrides?: Partial<NewJob>): Promise<string>
  addWorker(): Promise<string>
  job(id: string): Promise<StoredJob>
  attempts(id: string): Promise<{ outcome: string; attempt: number }[]>
  events(id: string): Promise<string[]>
  /** Makes a queued job look as if it had its ticket so much longer. */
  ageTicket(id: string, seconds: number): Promise<void>
  /** Makes a queued job look as if it had crashed its process twice. */
  suspect(id: string): Promise<void>
  /** Makes a queued job look as if it had ended so long ago. */
  end(id: string, status: TerminalStatus, secondsAgo: number): Promise<void>
  /** Gives all events their places in the stream. Nobody else may do so meanwhile. */
  place(): Promise<void>
  close(): Promise<void>
}

/** @returns a new job that can be stored as it is. */
export function newJob(overrides: Partial<NewJob> = {}): NewJob {
  return {
    id: newId(),
    tenant: 'default',
    type: 'echo',
    queue: 'default',
    input: '{"value":1}',
    priority: 0,
    maxAttempts: 3,
    timeoutMs: 1_000,
    tags: [],
    metadata: '{}',
    internal: false,
    ...overrides,
  }
}

/** Opens an empty record; close it at the end of the file. @param own an empty database that is migrated, instead of a new one. */
export async function openRecord(own?: TestDatabase): Promise<TestRecord> {
  const database = own ?? (await createDatabase(inject('postgresAdminUrl')))
  const db = connect(database.url, { applicationName: 'test' })
  const { sql } = db
  await ensureQueues(sql, ['default'])
  return {
    url: database.url,
    db,
    sql,
    addJob: async (overrides) => {
      const job = newJob(overrides)
      await insertJobs(sql, [job])
      return job.id
    },
    addWorker: async () => {
      const id = newId()
      await insertWorker(sql, { id, host: 'test', pid: 1, queues: ['default'], concurrency: 1 })
      return id
    },
    job: async (id) => {
      const [row] = await sql<StoredJob[]>`select * from jobs where id = ${id}`
      if (!row) throw new Error(`There is no job ${id}`)
      return row
    },
    attempts: async (id) => sql`select outcome, attempt from attempts where job_id = ${id} order by epoch`,
    events: async (id) => (await sql`select type from outbox where job_id = ${id}`).map((row) => row.type as string),
    ageTicket: async (id, seconds) => {
      await sql`update arrivals set ticketed_at = ticketed_at - ${seconds} * interval '1 second' where ${id} = any(job_ids)`
      await sql`update jobs set ticketed_at = ticketed_at - ${seconds} * interval '1 second' where id = ${id}`
    },
    suspect: async (id) => {
      await sql`update arrivals set suspect = true where ${id} = any(job_ids)`
      await sql`update jobs set crashes = 2 where id = ${id}`
    },
    end: async (id, status, secondsAgo) => {
      await sql`
        with changed as (
          update jobs set status = ${status}, ticketed_at = null, finished_at = statement_timestamp() - ${secondsAgo} * interval '1 second'
          where id = ${id} returning id, tenant, queue, status, finished_at, internal
        ), ${endings(sql)} select`
      await sql`update endings set ended_at = ended_at - ${secondsAgo} * interval '1 second' where ${id} = any(job_ids)`
    },
    place: async () => {
      const sequencer = connect(database.url, { applicationName: 'sequencer of a test', max: 1 })
      await lockSequence(sequencer.sql)
      while ((await placeEvents(sequencer.sql)).rows > 0);
      await sequencer.close()
    },
    close: async () => {
      await db.close()
      await database.drop()
    },
  }
}
