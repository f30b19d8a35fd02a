import { connect } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import type { NewJob } from '@jobyard/db/intake'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { openCarrier } from '@jobyard/queues/carrier'
import { Circuit } from '@jobyard/queues/circuit'
import { defineJob, type Contract } from '@jobyard/queues/define-job'
import { Intake } from '@jobyard/queues/intake'
import { createLogger } from '@jobyard/queues/logger'
import { migrateAll } from '@jobyard/queues/migrate'
import { TicketSender } from '@jobyard/queues/tickets'
import { defineBatchHandler, defineHandler, type Handler } from '@jobyard/workers/define-handler'
import { startWorkers } from '@jobyard/workers/supervisor'
import { z } from 'zod'
import { retention, webhooksTo } from '../platform-options.ts'
import { withPostgres } from '../servers.ts'
import { expectCount, payloadChunks, type JobSystem, type Payload, type Target } from './contestant.ts'

export interface JobyardOptions {
  readonly carrier: 'redis' | 'postgres'
  /** Jobs at once. */
  readonly concurrency: number
  /** Jobs that one ticket carries at most; the platform's own default when absent. */
  readonly idsPerTicket?: number
  /** Makes the type a batched one, of this size. */
  readonly batchSize?: number
  /** Queue of the jobs; one of their own when absent. */
  readonly queue?: string
  /** Whom deliveries may reach, as `OUTBOUND_ALLOW` names them; absent: the worker brings none. */
  readonly deliversTo?: string
}

/** Type of the jobs. */
export const jobyardType = 'bench'
const payload = z.object({ value: z.number() })
const chunkSize = 5_000

/** Jobyard, by its own intake, carrier and workers. */
export function jobyard({
  carrier,
  concurrency,
  idsPerTicket,
  batchSize,
  queue = 'bench',
  deliversTo,
}: JobyardOptions): JobSystem {
  const contract = defineJob({
    type: jobyardType,
    description: 'Answers with its input.',
    queue,
    input: payload,
    output: payload,
    ...(batchSize !== undefined && { batch: { size: batchSize } }),
  })
  const addresses = ({ databaseUrl, redisUrl }: Target) => ({
    databaseUrl,
    redisUrl: carrier === 'redis' ? redisUrl : undefined,
  })
  return {
    load: async (target) => {
      const { databaseUrl, redisUrl } = addresses(target)
      await migrateAll(databaseUrl, redisUrl)
      const db = connect(databaseUrl, { applicationName: 'bench' })
      await ensureQueues(db.sql, [queue])
      const tickets = new AwaitedTickets(openCarrier({ databaseUrl, redisUrl, onError: fail }), {
        contracts: [contract],
        onLost: fail,
        ...(idsPerTicket !== undefined && { idsPerTicket }),
      })
      const circuit = new Circuit({ probe: async () => db.sql`select 1` })
      const intake = new Intake({ sql: db.sql, transactions: db.transactions, tickets, circuit })
      for (const chunk of payloadChunks(target, chunkSize)) {
        await Promise.all(chunk.map((input) => intake.accept(newJob(contract, input))))
        await tickets.sent()
      }
    },
    start: async (target, handled) => {
      const addressed = addresses(target)
      const handler: Handler = contract.batch
        ? defineBatchHandler(contract, async (jobs) => {
            handled(jobs.length)
            return jobs.map(({ input }) => input)
          })
        : defineHandler(contract, async (input) => {
            handled(1)
            return input
          })
      const workers = await startWorkers({
        databaseUrl: target.databaseUrl,
        carrier: openCarrier({ ...addressed, listeners: deliversTo === undefined ? 1 : 2, onError: fail }),
        handlers: [handler],
        concurrency,
        retention,
        ...(deliversTo !== undefined && { webhooks: webhooksTo(deliversTo) }),
        log: createLogger('bench', 'warn'),
      })
      return {
        recorded: async () => (await countEvents(target)) === target.jobs,
        stop: () => workers.stop(5_000),
      }
    },
    verify,
  }
}

/** Sends tickets and remembers the sends, so that loading can wait for them. */
class AwaitedTickets extends TicketSender {
  #sends: Promise<void>[] = []

  override send(jobs: Parameters<TicketSender['send']>[0]): Promise<void> {
    const sending = super.send(jobs)
    this.#sends.push(sending)
    return sending
  }

  async sent(): Promise<void> {
    await Promise.all(this.#sends.splice(0))
  }
}

function newJob({ type, queue, retry, timeoutMs, internal }: Contract, input: Payload): NewJob {
  return {
    id: newId(),
    tenant: 'default',
    type,
    queue,
    input: JSON.stringify(input),
    priority: 0,
    maxAttempts: retry.maxAttempts,
    timeoutMs,
    tags: [],
    metadata: '{}',
    internal,
  }
}

/** An event has the id of its job, so that the primary key leads to those of this measurement. */
async function countEvents({ databaseUrl, firstId }: Target): Promise<number | undefined> {
  return withPostgres(databaseUrl, async (sql) => {
    const [row] = await sql<{ count: number }[]>`
      select count(*)::int as count from outbox where id >= ${firstId} and type = 'job.completed'`
    return row?.count
  })
}

async function verify(target: Target): Promise<void> {
  const [row] = await withPostgres(
    target.databaseUrl,
    (sql) => sql<{ accepted: number; completed: number; failed: number }[]>`
      select count(*)::int as accepted,
        (count(*) filter (where status = 'completed' and output::text = input::text and attempts_made = 1))::int as completed,
        (select count(*)::int from attempts a join jobs j on j.id = a.job_id where a.job_id >= ${target.firstId} and j.type = ${jobyardType}) as failed
      from jobs where id >= ${target.firstId} and type = ${jobyardType}`,
  )
  expectCount('Jobs', row?.accepted, target.jobs)
  expectCount('Jobs completed at the first attempt with their output', row?.completed, target.jobs)
  expectCount('Outbox events', await countEvents(target), target.jobs)
  expectCount('Attempts that did not complete', row?.failed, 0)
}

function fail(error: Error): void {
  throw error
}
