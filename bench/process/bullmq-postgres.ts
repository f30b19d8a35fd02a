import {
  Queue,
  Worker as BullWorker,
  createPostgresBackend,
  type JobProgress,
  type PostgresConnectionOptions,
  type PostgresQueueBackend,
} from 'bullmq'
import { expectEmptyQueue, fillQueue, queueName, type BullQueue } from './bullmq-queue.ts'
import type { JobSystem, Payload, Target } from './contestant.ts'

type PostgresQueue = Queue<
  Payload,
  Payload,
  string,
  Payload,
  Payload,
  string,
  PostgresQueueBackend,
  PostgresConnectionOptions
>
type PostgresWorker = BullWorker<Payload, Payload, string, PostgresQueueBackend, JobProgress, PostgresConnectionOptions>

export interface BullmqOnPostgresOptions {
  readonly concurrency: number
  /** Connections. */
  readonly pool: number
}

/** BullMQ as it comes, on its Postgres backend. */
export function bullmqOnPostgres({ concurrency, pool }: BullmqOnPostgresOptions): JobSystem {
  return {
    load: (target) => withPostgresQueue(target, (queue) => fillQueue(queue, target)),
    start: async ({ databaseUrl, jobs }, handled) => {
      const worker: PostgresWorker = new BullWorker(
        queueName,
        async ({ data }) => {
          handled(1)
          return data
        },
        { connection: { connectionString: databaseUrl, max: pool }, concurrency },
        createPostgresBackend,
      )
      let completed = 0
      worker.on('completed', () => completed++)
      return {
        recorded: async () => completed >= jobs,
        stop: () => worker.close(),
      }
    },
    verify: (target) => withPostgresQueue(target, expectEmptyQueue),
  }
}

async function withPostgresQueue({ databaseUrl }: Target, work: (queue: BullQueue) => Promise<void>): Promise<void> {
  const connection = { connectionString: databaseUrl, migrate: true }
  const queue: PostgresQueue = new Queue(queueName, { connection }, createPostgresBackend)
  await work(queue)
  await queue.close()
}
