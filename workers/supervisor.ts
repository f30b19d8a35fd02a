import { hostname } from 'node:os'
import { readClock } from '@jobyard/db/clock'
import { connect } from '@jobyard/db/connect'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { handBack, type Ticketable } from '@jobyard/db/requeue'
import { deleteWorker } from '@jobyard/db/worker-rows'
import type { Carrier } from '@jobyard/queues/carrier'
import { withDeadline } from '@jobyard/queues/deadline'
import { logLostTickets } from '@jobyard/queues/log-together'
import { sendDeadlineMs, TicketSender } from '@jobyard/queues/tickets'
import type { Logger } from 'pino'
import { Attempts } from './attempts.ts'
import { Claims } from './claims.ts'
import type { Handler } from './define-handler.ts'
import { Heartbeat } from './heartbeat.ts'
import { JobWorker } from './job-worker.ts'
import { OldTransactions } from './old-transactions.ts'
import { Ownership } from './ownership.ts'
import { ProbeJudge } from './probe-judge.ts'
import { ProgressReports } from './progress-reports.ts'
import { Pruner, type Retention } from './pruner.ts'
import { Reconciler } from './reconciler.ts'
import { Loop, pause } from './service.ts'
import { Settlements } from './settlements.ts'
import { SteadyClock } from './steady-clock.ts'
import { Suspects } from './suspects.ts'
import { Ticker } from './ticker.ts'

export interface WorkersOptions {
  readonly databaseUrl: string
  readonly carrier: Carrier
  readonly handlers: readonly Handler[]
  /** Queues to serve; all that the handlers name when absent. */
  readonly queues?: readonly string[] | undefined
  /** Jobs at once per queue. */
  readonly concurrency: number
  readonly retention: Retention
  /** Time without a heartbeat after which a worker process is declared dead, in milliseconds; at least four beats. */
  readonly leaseMs?: number
  readonly log: Logger
}

/** A worker process at work. */
export interface Workers {
  /**
   * Stops taking jobs, waits for those that run, and hands back what is left.
   *
   * @param graceMs how long to wait, in milliseconds.
   */
  stop(graceMs: number): Promise<void>
  /** Ends the waiting of a {@link stop} under way: what still runs is handed back at once. */
  hurry(): void
}

const defaultLeaseMs = 10_000
const beatsPerLease = 5
/** Time that each of the last steps of a stop may take, in milliseconds: one of them sends tickets. */
const lastStepMs = sendDeadlineMs + 1_000
/** Time that aborted handlers get to clean up before their jobs go back to the queue, in milliseconds. */
const cleanUpMs = 500

/**
 * Starts everything a worker process does; its database and carrier must be migrated and checked.
 *
 * @throws the driver's error when Postgres cannot be reached.
 */
export async function startWorkers(options: WorkersOptions): Promise<Workers> {
  const { carrier, handlers, concurrency, log, leaseMs = defaultLeaseMs } = options
  const contracts = handlers.map(({ contract }) => contract)
  const queues = options.queues ?? [...new Set(contracts.map(({ queue }) => queue))]
  const db = connect(options.databaseUrl, { applicationName: 'jobyard-workers' })
  const { sql } = db
  const tickets = new TicketSender(carrier, {
    contracts,
    onLost: logLostTickets(log),
  })
  const ownership = new Ownership()
  const claims = new Claims(sql, ownership, log)
  const settlements = new Settlements(sql, log)
  const progress = new ProgressReports(sql)
  const { transactions } = db
  const attempts = new Attempts(handlers, { ownership, settlements, progress, transactions, log })

  await ensureQueues(sql, queues)
  const describe = { host: hostname(), pid: process.pid, queues, concurrency }
  const heartbeat = new Heartbeat({ sql, ownership, tickets, describe, leaseMs, log })
  await heartbeat.register()

  const reconciler = new Reconciler({ sql, carrier, tickets, queues, leaseMs, log })
  const suspects = new Suspects({ sql, ownership, queues, runAttempt: (run) => attempts.execute([run]) })
  const ticker = new Ticker(sql, tickets)
  const pruner = new Pruner(sql, options.retention, new SteadyClock({ read: () => readClock(sql), log }))
  const oldTransactions = new OldTransactions(sql, log)
  const probes = new ProbeJudge(sql, tickets, log)
  const every = (everyMs: number, name: string, runOnce: () => Promise<boolean | void>) =>
    new Loop({ name, everyMs, runOnce, log })
  const beatMs = leaseMs / beatsPerLease
  const heart = every(beatMs, 'heartbeat', () => heartbeat.runOnce())
  const reports = every(250, 'progress', () => progress.runOnce())
  const upkeep = [
    every(500, 'ticker', () => ticker.runOnce()),
    every(1_000, 'suspects', () => suspects.runOnce()),
    every(beatMs, 'reaper', async () => void (await reconciler.reap())),
    every(1_000, 'orphans', async () => (await reconciler.requeueOrphans()) === 1_000),
    every(2_000, 'arrivals', () => reconciler.collectArrivals()),
    every(5_000, 'probe', async () => void (await reconciler.probe())),
    every(5_000, 'pauses', async () => void (await reconciler.mirrorPauses())),
    every(60_000, 'pruner', () => pruner.runOnce()),
    every(60_000, 'old transactions', async () => void (await oldTransactions.runOnce())),
  ]
  const batchSizeOf = (queue: string) =>
    Math.max(1, ...contracts.map((contract) => (contract.queue === queue && contract.batch?.size) || 1))
  const jobWorkers = queues.map((queue) => {
    const batchSize = batchSizeOf(queue)
    return new JobWorker({ queue, concurrency, batchSize, carrier, claims, tickets, probes, attempts, log })
  })
  for (const service of [heart, reports, ...upkeep, ...jobWorkers]) service.start()
  log.info({ workerId: ownership.workerId, queues, concurrency, carrier: carrier.kind }, 'workers are up')

  const hurried = new AbortController()
  const stop = async (graceMs: number) => {
    const nothingNew = Promise.all([...jobWorkers, ...upkeep].map((service) => service.stop()))
    const finished = nothingNew.then(() => ownership.idle()) // the heart beats on: these jobs are still ours
    await Promise.race([finished, pause(graceMs, hurried.signal)])
    claims.stop()
    const handedBack = ownership.size
    ownership.abortAll('handed_back')
    if (handedBack > 0) await pause(cleanUpMs)
    const last = <Result>(what: string, step: Promise<Result>): Promise<Result | void> =>
      withDeadline(step, lastStepMs, what).catch((error: unknown) =>
        log.error(
          { err: error },
          `${what} did not end in time; what is left runs again when this worker is declared dead`,
        ),
      )
    await last('The last fetches', nothingNew)
    await last('The last settlements', settlements.drained())
    await last('The last heartbeat', Promise.all([heart.stop(), reports.stop()]))
    const handedOver = await last('Handing back', handBackEverything())
    await last('Sending the last tickets', sendLast(handedOver ?? []))
    await carrier.close() // after the tickets of the jobs that went back
    await last('Closing the database', db.close())
    log.info({ handedBack }, 'workers are down')
  }

  const handBackEverything = async () => {
    const jobs = await handBack(sql, ownership.workerId)
    await deleteWorker(sql, ownership.workerId)
    return jobs
  }
  const sendLast = async (jobs: readonly Ticketable[]) => {
    await Promise.all([tickets.send(jobs), tickets.flush()])
  }

  let stopped: Promise<void> | undefined
  return { stop: (graceMs) => (stopped ??= stop(graceMs)), hurry: () => hurried.abort() }
}
