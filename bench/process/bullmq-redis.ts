import { Queue, Worker as BullWorker } from 'bullmq'
import { Redis } from 'ioredis'
import { expectEmptyQueue, fillQueue, queueName, type BullQueue } from './bullmq-queue.ts'
import type { JobSystem, Payload, Target, Worker } from './contestant.ts'

export interface BullmqOnRedisOptions {
  readonly concurrency: number
}

/** BullMQ as it comes, on Redis. */
export function bullmqOnRedis({ concurrency }: BullmqOnRedisOptions): JobSystem {
  return {
    load: (target) => withRedisQueue(target, (queue) => fillQueue(queue, target)),
    start: async (target, handled) =>
      startRedisWorker(target, concurrency, async (payload) => {
        handled(1)
        return payload
      }),
    verify: (target) => withRedisQueue(target, expectEmptyQueue),
  }
}

/** Starts a worker; a job is recorded once BullMQ has told that it is completed. */
export function startRedisWorker(
  { redisUrl, jobs }: Target,
  concurrency: number,
  run: (payload: Payload) => Promise<Payload>,
): Worker {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null })
  const worker = new BullWorker<Payload, Payload>(queueName, ({ data }) => run(data), { connection, concurrency })
  let completed = 0
  worker.on('completed', () => completed++)
  return {
    recorded: async () => completed >= jobs,
    stop: async () => {
      await worker.close()
      connection.disconnect()
    },
  }
}

/** Opens the queue for `work`. */
export async function withRedisQueue({ redisUrl }: Target, work: (queue: BullQueue) => Promise<void>): Promise<void> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null })
  const queue = new Queue<Payload>(queueName, { connection })
  await work(queue)
  await queue.close()
  connection.disconnect()
}
