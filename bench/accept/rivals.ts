import { createPostgresBackend, Queue, runMigrations, type PgPool } from 'bullmq'
import { Logger, makeWorkerUtils } from 'graphile-worker'
import { Redis } from 'ioredis'
import pg from 'pg'
import { PgBoss, type Db } from 'pg-boss'

/** What a rival is set up on. */
export interface Place {
  readonly databaseUrl: string
  readonly redisUrl: string
}

/** What every job of this benchmark gets. */
export interface Input {
  readonly value: unknown
  /** The job's row in the table beside BullMQ, where there is one. */
  readonly row?: string
}

/** The way into a rival, from the process that accepts jobs. */
export interface Intake {
  /** @returns the job's id once the rival has it. */
  add(input: Input): Promise<string>
  addMany(inputs: readonly Input[]): Promise<unknown>
  /** Counts the jobs that wait to be run. */
  waiting(): Promise<number>
  close(): Promise<unknown>
}

/** Name of the queue, the type and the task of all jobs. */
export const jobName = 'echo'
/** Connections to Postgres of a process that accepts jobs. */
export const intakeConnections = 20
/** Schema of BullMQ's tables in Postgres. */
const bullSchema = 'bullmq'

/** How jobs are handed to each rival; each makes the tables it needs. */
export const intakes = {
  'BullMQ, Redis': openBullOnRedis,
  'BullMQ, Postgres': openBullOnPostgres,
  'BullMQ, Redis, recording row by row': openInsertThenBull,
  'Graphile Worker': openGraphile,
  'pg-boss': (place) => openPgBoss(place, false),
  'pg-boss with notify': (place) => openPgBoss(place, true),
} satisfies Record<string, (place: Place) => Promise<Intake>>
export type Rival = keyof typeof intakes

async function openBullOnRedis({ redisUrl }: Place): Promise<Intake> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null })
  const queue = new Queue(jobName, { connection, defaultJobOptions: { removeOnComplete: true } })
  await queue.waitUntilReady()
  return bullIntake(queue, async () => {
    await queue.close()
    connection.disconnect()
  })
}

/** Opens a pool; an error of a connection ends the process. */
export function openPool(databaseUrl: string, max: number, settings: pg.PoolConfig = {}): pg.Pool {
  const pool = new pg.Pool({ connectionString: databaseUrl, max, keepAlive: true, ...settings })
  pool.setMaxListeners(0)
  const fail = (error: Error) => {
    throw error
  }
  pool.on('error', fail)
  pool.on('connect', (client) => client.on('error', fail))
  return pool
}

/** Opens a pool for BullMQ's Postgres backend. */
export function openBullPool(databaseUrl: string, max: number): pg.Pool {
  return openPool(databaseUrl, max, { options: `-c search_path=${bullSchema}` })
}

async function openBullOnPostgres({ databaseUrl }: Place): Promise<Intake> {
  const pool = openBullPool(databaseUrl, intakeConnections)
  const client = await pool.connect()
  await runMigrations(client, bullSchema)
  client.release()
  const options = { connection: pool as PgPool, defaultJobOptions: { removeOnComplete: true } }
  const queue = new Queue(jobName, options, createPostgresBackend)
  await queue.waitUntilReady()
  return bullIntake(queue, async () => {
    await queue.close()
    await pool.end()
  })
}

/** What we use of a queue of BullMQ, whatever carries it. */
interface BullQueue {
  add(name: string, data: unknown): Promise<{ id?: string | undefined }>
  addBulk(jobs: { name: string; data: unknown }[]): Promise<unknown>
  getWaitingCount(): Promise<number>
}

function bullIntake(queue: BullQueue, close: () => Promise<void>): Intake {
  return {
    add: async (input) => String((await queue.add(jobName, input)).id),
    addMany: (inputs) => queue.addBulk(inputs.map((data) => ({ name: jobName, data }))),
    waiting: () => queue.getWaitingCount(),
    close,
  }
}

/** The tables that people keep beside BullMQ to have a record. */
const recordTables = `
  create table if not exists jobs (
    id bigint generated always as identity primary key,
    type text not null,
    status text not null default 'queued',
    input jsonb not null,
    output jsonb,
    created_at timestamptz not null default now(),
    finished_at timestamptz
  );
  create table if not exists outbox (
    id bigint generated always as identity primary key,
    job_id bigint not null,
    type text not null,
    created_at timestamptz not null default now()
  )`

async function openInsertThenBull(place: Place): Promise<Intake> {
  const pool = openPool(place.databaseUrl, intakeConnections)
  await pool.query(recordTables)
  const queue = await openBullOnRedis(place)
  const add: Intake['add'] = async (input) => {
    const { rows } = await pool.query<{ id: string }>({
      name: 'insert-job',
      text: 'insert into jobs (type, input) values ($1, $2) returning id',
      values: [jobName, JSON.stringify(input)],
    })
    const row = String(rows[0]?.id)
    await queue.add({ ...input, row })
    return row
  }
  return {
    add,
    addMany: (inputs) => Promise.all(inputs.map(add)),
    waiting: async () => Math.min(await queue.waiting(), await countRows(pool, `jobs where status = 'queued'`)),
    close: () => Promise.all([queue.close(), pool.end()]),
  }
}

async function openGraphile({ databaseUrl }: Place): Promise<Intake> {
  const pool = openPool(databaseUrl, intakeConnections)
  const utils = await makeWorkerUtils({ pgPool: pool, logger: new Logger(() => () => {}) })
  await utils.migrate()
  return {
    add: async (input) => (await utils.addJob(jobName, input)).id,
    addMany: (inputs) => utils.addJobs(inputs.map((payload) => ({ identifier: jobName, payload }))),
    waiting: () => countRows(pool, 'graphile_worker.jobs'),
    close: async () => {
      await utils.release()
      await pool.end()
    },
  }
}

async function openPgBoss({ databaseUrl }: Place, notify: boolean): Promise<Intake> {
  const boss = new PgBoss({ connectionString: databaseUrl, max: intakeConnections, supervise: false, schedule: false })
  await boss.start()
  await boss.createQueue(jobName, { notify })
  return {
    add: async (input) => String(await boss.send(jobName, input)),
    addMany: (inputs) =>
      boss.insert(
        jobName,
        inputs.map((data) => ({ data })),
      ),
    waiting: () => countRows(boss.getDb(), `pgboss.job where state = 'created'`),
    close: () => boss.stop({ graceful: false }),
  }
}

async function countRows(database: pg.Pool | Db, from: string): Promise<number> {
  const text = `select count(*)::int as count from ${from}`
  const { rows } = await ('query' in database ? database.query(text) : database.executeSql(text))
  return (rows as { count: number }[])[0]?.count ?? 0
}
