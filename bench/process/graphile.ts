import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { withPostgres } from '../servers.ts'
import { expectCount, payloadChunks, type JobSystem, type Target } from './contestant.ts'

export interface GraphileOptions {
  readonly concurrentJobs: number
  readonly maxPoolSize: number
  /** Jobs that are fetched at once, and how long finished ones gather in milliseconds; both absent: one by one. */
  readonly batching?: { readonly localQueueSize: number; readonly completeJobBatchDelay: number }
}

const taskName = 'bench'
const chunkSize = 5_000
const logger = new Logger(() => () => {})

/** Graphile Worker, which deletes a job that is done. */
export function graphileWorker({ concurrentJobs, maxPoolSize, batching }: GraphileOptions): JobSystem {
  const worker = {
    logger,
    concurrentJobs,
    maxPoolSize,
    ...(batching && {
      localQueue: { size: batching.localQueueSize },
      completeJobBatchDelay: batching.completeJobBatchDelay,
      failJobBatchDelay: batching.completeJobBatchDelay,
    }),
  }
  return {
    load,
    start: async (target, handled) => {
      const runner = await run({
        preset: { worker: { ...worker, connectionString: target.databaseUrl } },
        noHandleSignals: true,
        taskList: {
          [taskName]: async () => handled(1),
        },
      })
      return {
        recorded: async () => (await countJobs(target)) === 0,
        stop: () => runner.stop(),
      }
    },
    verify: async (target) => expectCount('Jobs left in Graphile Worker', await countJobs(target), 0),
  }
}

async function load(target: Target): Promise<void> {
  const utils = await makeWorkerUtils({ preset: { worker: { logger, connectionString: target.databaseUrl } } })
  await utils.migrate()
  for (const chunk of payloadChunks(target, chunkSize)) {
    await utils.addJobs(chunk.map((payload) => ({ identifier: taskName, payload })))
  }
  await utils.release()
}

async function countJobs({ databaseUrl }: Target): Promise<number | undefined> {
  return withPostgres(databaseUrl, async (sql) => {
    const [row] = await sql<{ count: number }[]>`select count(*)::int as count from graphile_worker.jobs`
    return row?.count
  })
}
