import type { Contestant } from './contestant.ts'
import type { JobyardOptions } from './jobyard.ts'

/** What the others are given as multiples of. */
export const baseline = 'BullMQ raw, Redis'

const bullmqRaw: Contestant = {
  name: baseline,
  note: 'Records nothing, removes the job. Concurrency 100.',
  jobs: 60_000,
  open: async () => (await import('./bullmq-redis.ts')).bullmqOnRedis({ concurrency: 100 }),
}

const graphileBatched: Contestant = {
  name: 'Graphile Worker, local queue',
  note: 'Deletes the job. Local queue of 5,000, completions in batches (delay 0), concurrency 24.',
  jobs: 100_000,
  open: async () =>
    (await import('./graphile.ts')).graphileWorker({
      concurrentJobs: 24,
      maxPoolSize: 25,
      batching: { localQueueSize: 5_000, completeJobBatchDelay: 0 },
    }),
}

/** Ourselves as we come. */
export const jobyardOn: Readonly<Record<JobyardOptions['carrier'], Contestant>> = {
  redis: jobyardOf('Jobyard, Redis', 60_000, { carrier: 'redis', concurrency: 2_000 }),
  postgres: jobyardOf('Jobyard, embedded', 30_000, { carrier: 'postgres', concurrency: 1_000 }),
}

/** Contestants whose handler answers for each job by itself. */
export const single: readonly Contestant[] = [
  jobyardOn.redis,
  jobyardOf('Jobyard, Redis, one id a ticket', 30_000, { carrier: 'redis', concurrency: 2_000, idsPerTicket: 1 }),
  jobyardOn.postgres,
  bullmqRaw,
  {
    name: 'BullMQ raw, Postgres',
    note: 'Records nothing, removes the job. Concurrency 50, 20 connections.',
    jobs: 8_000,
    open: async () => (await import('./bullmq-postgres.ts')).bullmqOnPostgres({ concurrency: 50, pool: 20 }),
  },
  {
    name: 'BullMQ, Redis, recording row by row',
    note: 'Records status, output and outbox event in a transaction for each job. Concurrency 20, 20 connections.',
    jobs: 10_000,
    open: async () => (await import('./row-by-row.ts')).bullmqRowByRow({ concurrency: 20, pool: 20 }),
  },
  {
    name: 'Graphile Worker, default',
    note: 'Deletes the job. Concurrency 16, 18 connections.',
    jobs: 10_000,
    open: async () => (await import('./graphile.ts')).graphileWorker({ concurrentJobs: 16, maxPoolSize: 18 }),
  },
  graphileBatched,
  {
    name: 'pg-boss, a result for each job',
    note: 'Records status and output. Batches of 5,000 (`perJobResults`, `burstWhenBatchFull`), 2 at once.',
    jobs: 100_000,
    open: async () =>
      (await import('./pg-boss.ts')).pgBoss({ batchSize: 5_000, localConcurrency: 2, perJobResults: true }),
  },
]

/** Contestants whose handler is given many jobs at once where they can do that. */
export const batched: readonly Contestant[] = [
  jobyardOf('Jobyard, Redis, batches of 100', 80_000, { carrier: 'redis', concurrency: 2_000, batchSize: 100 }),
  jobyardOf('Jobyard, Redis, batches of 500', 80_000, { carrier: 'redis', concurrency: 2_000, batchSize: 500 }),
  jobyardOf('Jobyard, embedded, batches of 100', 80_000, { carrier: 'postgres', concurrency: 2_000, batchSize: 100 }),
  jobyardOf('Jobyard, embedded, batches of 500', 80_000, { carrier: 'postgres', concurrency: 2_000, batchSize: 500 }),
  bullmqRaw,
  graphileBatched,
  {
    name: 'pg-boss, whole batches',
    note: 'Records status, no output. Batches of 10,000 (`burstWhenBatchFull`), 2 at once.',
    jobs: 120_000,
    open: async () =>
      (await import('./pg-boss.ts')).pgBoss({ batchSize: 10_000, localConcurrency: 2, perJobResults: false }),
  },
]

function jobyardOf(name: string, jobs: number, options: JobyardOptions): Contestant {
  const carrier = options.carrier === 'redis' ? 'Tickets in Redis' : 'Tickets in Postgres'
  return {
    name,
    note: `Records status, attempts, output and outbox event. ${carrier}, concurrency ${options.concurrency}.`,
    jobs,
    open: async () => (await import('./jobyard.ts')).jobyard(options),
  }
}
