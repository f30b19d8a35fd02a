import { PgBoss } from 'pg-boss'
import { withPostgres } from '../servers.ts'
import { expectCount, payloadChunks, type JobSystem, type Payload, type Target } from './contestant.ts'

export interface PgBossOptions {
  /** Jobs that one call of the handler is given. */
  readonly batchSize: number
  /** Handlers at once. */
  readonly localConcurrency: number
  /** Whether each job keeps an output of its own; else a batch is completed as a whole, without outputs. */
  readonly perJobResults: boolean
}

const queueName = 'bench'
const chunkSize = 5_000

/** pg-boss, which fetches the next batch at once as long as batches are full. */
export function pgBoss({ batchSize, localConcurrency, perJobResults }: PgBossOptions): JobSystem {
  const polling = { pollingIntervalSeconds: 0.5, burstWhenBatchFull: true }
  return {
    load: (target) =>
      withBoss(target, async (boss) => {
        await boss.createQueue(queueName)
        for (const chunk of payloadChunks(target, chunkSize)) {
          await boss.insert(
            queueName,
            chunk.map((data) => ({ data })),
          )
        }
      }),
    start: async (target, handled) => {
      const boss = await openBoss(target)
      const options = { ...polling, batchSize, localConcurrency }
      if (perJobResults) {
        await boss.work<Payload, Payload, typeof options & { perJobResults: true }>(
          queueName,
          { ...options, perJobResults: true },
          async (jobs) => {
            handled(jobs.length)
            return jobs.map(({ id, data }) => ({ id, status: 'completed', output: data }))
          },
        )
      } else await boss.work<Payload>(queueName, options, async (jobs) => handled(jobs.length))
      return {
        recorded: async () => (await countCompleted(target)) === target.jobs,
        stop: () => boss.stop({ graceful: true }),
      }
    },
    verify: async (target) => expectCount('Jobs completed in pg-boss', await countCompleted(target), target.jobs),
  }
}

async function openBoss({ databaseUrl }: Target): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString: databaseUrl, schedule: false })
  boss.on('error', (error) => {
    throw error
  })
  return boss.start()
}

async function withBoss(target: Target, work: (boss: PgBoss) => Promise<void>): Promise<void> {
  const boss = await openBoss(target)
  await work(boss)
  await boss.stop({ graceful: true })
}

async function countCompleted({ databaseUrl }: Target): Promise<number | undefined> {
  return withPostgres(databaseUrl, async (sql) => {
    const [row] = await sql<{ count: number }[]>`
      select count(*)::int as count from pgboss.job where name = ${queueName} and state = 'completed'`
    return row?.count
  })
}
