import { openCarrier } from '@jobyard/queues/carrier'
import { echo } from '@jobyard/queues/contracts/echo'
import { defineHandler } from '@jobyard/workers/define-handler'
import { startWorkers } from '@jobyard/workers/supervisor'
import {
  createPostgresBackend,
  Worker,
  type JobProgress,
  type PgPool,
  type PostgresConnectionOptions,
  type PostgresQueueBackend,
} from 'bullmq'
import { Logger, run } from 'graphile-worker'
import { Redis } from 'ioredis'
import { PgBoss } from 'pg-boss'
import type { CarrierKind } from '../accept/contestants.ts'
import { openBullPool, jobName, openPool, type Input, type Place } from '../accept/rivals.ts'
import { retention } from '../platform-options.ts'
import { watchAttempts } from './attempts.ts'
import type { Timeline } from './timeline.ts'

/** Starts what runs the jobs, in the worker process. */
export type StartWorker = (place: Place, timeline: Timeline) => Promise<unknown>

type PostgresWorker = Worker<Input, unknown, string, PostgresQueueBackend, JobProgress, PostgresConnectionOptions>

/** Jobs at once. With more, BullMQ did less in this chain; with fewer, Jobyard did. */
const bullConcurrency = 100
const jobyardConcurrency = 500
/** Connections to Postgres where each job needs one. */
const connections = 20

/** What runs the jobs of each contestant. */
export const workers = {
  'Jobyard, Redis': (place, timeline) => startJobyard(place, 'redis', timeline),
  'Jobyard, embedded carrier': (place, timeline) => startJobyard(place, 'postgres', timeline),
  'BullMQ raw, Redis': startBullOnRedis,
  'BullMQ raw, Postgres': startBullOnPostgres,
  'BullMQ, Redis, recording row by row': startRecordingBull,
  'Graphile Worker, default': (place, timeline) => startGraphile(place, {}, timeline),
  'Graphile Worker, batched': (place, timeline) =>
    startGraphile(place, { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }, timeline),
  'pg-boss': startPgBoss,
} satisfies Record<string, StartWorker>
export type WorkerName = keyof typeof workers

/** A job is settled when its attempt is logged, which the platform does right after. */
async function startJobyard({ databaseUrl, redisUrl }: Place, kind: CarrierKind, timeline: Timeline): Promise<unknown> {
  const numbers = new Map<string, number>()
  const handler = defineHandler(echo, async ({ value }, { jobId }) => {
    timeline.begin(Number(value))
    numbers.set(jobId, Number(value))
    return { value }
  })
  const log = watchAttempts(({ jobId }) => settleById(timeline, numbers, jobId))
  return startWorkers({
    databaseUrl,
    carrier: openCarrier({
      databaseUrl,
      redisUrl: kind === 'redis' ? redisUrl : undefined,
      listeners: 1,
      onError: fail,
    }),
    handlers: [handler],
    concurrency: jobyardConcurrency,
    retention,
    log,
  })
}

async function startBullOnRedis({ redisUrl }: Place, timeline: Timeline, record?: RecordJob): Promise<void> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null })
  follow(
    new Worker<Input>(jobName, processor(timeline, record), { connection, concurrency: bullConcurrency }),
    timeline,
  )
}

async function startBullOnPostgres({ databaseUrl }: Place, timeline: Timeline): Promise<void> {
  const options = { connection: openBullPool(databaseUrl, connections) as PgPool, concurrency: bullConcurrency }
  const worker: PostgresWorker = new Worker(jobName, processor(timeline), options, createPostgresBackend)
  follow(worker, timeline)
}

/** What a processor does to have a record of the job. */
type RecordJob = (input: Input) => Promise<void>

function processor(timeline: Timeline, record?: RecordJob) {
  return async ({ data }: { data: Input }): Promise<unknown> => {
    timeline.begin(Number(data.value))
    await record?.(data)
    return { value: data.value }
  }
}

/** A job is settled when its worker tells that it is completed. */
function follow(worker: Pick<Worker<Input>, 'on'> | Pick<PostgresWorker, 'on'>, timeline: Timeline): void {
  worker.on('completed', ({ data }: { data: Input }) => timeline.settle(Number(data.value)))
  worker.on('failed', (_: unknown, error: Error) => fail(error))
}

/** The processor records each job in a transaction of its own: a status, an output, an outbox event. */
async function startRecordingBull(place: Place, timeline: Timeline): Promise<void> {
  const pool = openPool(place.databaseUrl, connections)
  const complete = `update jobs set status = 'completed', output = $2, finished_at = now() where id = $1`
  const tell = `insert into outbox (job_id, type) values ($1, 'job.completed')`
  await startBullOnRedis(place, timeline, async ({ value, row }) => {
    const client = await pool.connect()
    try {
      await client.query('begin')
      await client.query({ name: 'complete', text: complete, values: [row, { value }] })
      await client.query({ name: 'tell', text: tell, values: [row] })
      await client.query('commit')
    } finally {
      client.release()
    }
  })
}

type GraphileBatching = Pick<
  NonNullable<GraphileConfig.Preset['worker']>,
  'localQueue' | 'completeJobBatchDelay' | 'failJobBatchDelay'
>

/** It has no event for a job whose completion has been written, so its statements are watched. */
async function startGraphile({ databaseUrl }: Place, batching: GraphileBatching, timeline: Timeline): Promise<unknown> {
  const numbers = new Map<string, number>()
  const concurrentJobs = 24
  const pgPool = openPool(databaseUrl, concurrentJobs + 1)
  pgPool.on('connect', (client) =>
    watch(client, 'query', ([statement]) => {
      const { name, values } = statement as { name?: string; values?: unknown[] }
      if (name?.startsWith('complete_job')) {
        for (const id of [values?.[0]].flat()) settleById(timeline, numbers, String(id))
      }
    }),
  )
  return run({
    pgPool,
    preset: { worker: { concurrentJobs, logger: new Logger(() => () => {}), ...batching } },
    noHandleSignals: true,
    taskList: {
      [jobName]: async (payload, { job }) => {
        const number = Number((payload as Input).value)
        timeline.begin(number)
        numbers.set(job.id, number)
      },
    },
  })
}

/** It has no event for a job whose completion has been written, so its statements are watched. */
async function startPgBoss({ databaseUrl }: Place, timeline: Timeline): Promise<void> {
  const numbers = new Map<string, number>()
  const boss = new PgBoss({ connectionString: databaseUrl, schedule: false, useListenNotify: true })
  boss.on('error', fail)
  await boss.start()
  watch(boss.getDb(), 'executeSql', ([, values]) => {
    const payload = (values as unknown[] | undefined)?.[1]
    if (typeof payload !== 'string' || !payload.startsWith('[{"id"')) return
    for (const { id } of JSON.parse(payload) as { id: string }[]) settleById(timeline, numbers, id)
  })
  const options = { batchSize: 500, localConcurrency: 4, burstWhenBatchFull: true, perJobResults: true } as const
  await boss.work<Input, unknown, typeof options>(jobName, options, async (jobs) =>
    jobs.map(({ id, data: { value } }) => {
      timeline.begin(Number(value))
      numbers.set(id, Number(value))
      return { id, status: 'completed', output: { value } }
    }),
  )
}

/** Has `onAnswer` told of the arguments of each call of an asynchronous method, once it has succeeded. */
function watch<Name extends string>(
  object: Record<Name, (...args: never[]) => unknown>,
  name: Name,
  onAnswer: (args: unknown[]) => void,
): void {
  const original = object[name].bind(object) as (...args: unknown[]) => Promise<unknown>
  object[name] = async (...args: unknown[]) => {
    const answer = await original(...args)
    onAnswer(args)
    return answer
  }
}

function settleById(timeline: Timeline, numbers: Map<string, number>, id: string): void {
  const number = numbers.get(id)
  if (number === undefined) return
  numbers.delete(id)
  timeline.settle(number)
}

function fail(error: Error): never {
  throw error
}
