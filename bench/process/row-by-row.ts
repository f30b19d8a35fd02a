import pg from 'pg'
import { fillQueue, expectEmptyQueue } from './bullmq-queue.ts'
import { startRedisWorker, withRedisQueue } from './bullmq-redis.ts'
import { expectCount, payloadChunks, type JobSystem, type Payload, type Target } from './contestant.ts'

export interface RowByRowOptions {
  readonly concurrency: number
  /** Connections to Postgres, hence transactions at once. */
  readonly pool: number
}

const schema = `
  create table jobs (
    id bigint primary key,
    status text not null default 'queued',
    input jsonb not null,
    output jsonb,
    created_at timestamptz not null default now(),
    finished_at timestamptz
  );
  create table outbox (
    id bigint generated always as identity primary key,
    job_id bigint not null,
    type text not null,
    created_at timestamptz not null default now()
  )`
const chunkSize = 5_000

/** BullMQ on Redis, with a processor that records each job in a transaction of its own: a status, an output, an outbox event. */
export function bullmqRowByRow({ concurrency, pool }: RowByRowOptions): JobSystem {
  return {
    load: async (target) => {
      await insertRows(target)
      await withRedisQueue(target, (queue) => fillQueue(queue, target))
    },
    start: async (target, handled) => {
      const connections = new pg.Pool({ connectionString: target.databaseUrl, max: pool })
      const worker = startRedisWorker(target, concurrency, async (payload) => {
        await record(connections, payload)
        handled(1)
        return payload
      })
      return {
        recorded: () => worker.recorded(),
        stop: async () => {
          await worker.stop()
          await connections.end()
        },
      }
    },
    verify: async (target) => {
      await withRedisQueue(target, expectEmptyQueue)
      await verifyRows(target)
    },
  }
}

async function record(connections: pg.Pool, payload: Payload): Promise<void> {
  const client = await connections.connect()
  try {
    await client.query('begin')
    await client.query({
      name: 'complete',
      text: `update jobs set status = 'completed', output = $2, finished_at = now() where id = $1`,
      values: [payload.value, payload],
    })
    await client.query({
      name: 'tell',
      text: `insert into outbox (job_id, type) values ($1, 'job.completed')`,
      values: [payload.value],
    })
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

async function insertRows(target: Target): Promise<void> {
  await withClient(target, async (client) => {
    await client.query(schema)
    for (const chunk of payloadChunks(target, chunkSize)) {
      await client.query(
        `insert into jobs (id, input) select (input->>'value')::bigint, input from jsonb_array_elements($1) as input`,
        [JSON.stringify(chunk)],
      )
    }
  })
}

async function verifyRows(target: Target): Promise<void> {
  await withClient(target, async (client) => {
    const { rows } = await client.query<{ completed: number; told: number }>(`select
      (select count(*)::int from jobs where status = 'completed' and output = input) as completed,
      (select count(distinct job_id)::int from outbox) as told`)
    expectCount('Completed rows', rows[0]?.completed, target.jobs)
    expectCount('Jobs with an outbox event', rows[0]?.told, target.jobs)
  })
}

async function withClient({ databaseUrl }: Target, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  await work(client)
  await client.end()
}
