import { hostname } from 'node:os'
import { readClock } from '@jobyard/db/clock'
import { connect } from '@jobyard/db/connect'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { handBack, type Ticketable } from '@jobyard/db/requeue'
import { deleteWorker } from '@jobyard/db/worker-rows'
import type { GuardedFetch } from '@jobyard/outbound/guarded-fetch'
import type { Carrier } from '@jobyard/queues/carrier'
import { webhookDeliver as deliveries } from '@jobyard/queues/contracts/webhook-deliver'
import { withDeadline } from '@jobyard/queues/deadline'
import { logLostTickets } from '@jobyard/queues/log-together'
import { SecretBox } from '@jobyard/queues/secret-box'
import { sendDeadlineMs, TicketSender } from '@jobyard/queues/tickets'
import type { Logger } from 'pino'
import { Attempts } from './attempts.ts'
import { Claims } from './claims.ts'
import type { Handler } from './define-handler.ts'
import { deliveriesPerSlot } from './delivery-share.ts'
import { webhookDeliver } from './handlers/webhook-deliver.ts'
import { Heartbeat } from './heartbeat.ts'
import { JobWorker } from './job-worker.ts'
import { Nudge } from './nudge.ts'
import { tellOfOtherSecret } from './other-secret.ts'
import { Ownership, type Run } from './ownership.ts'
import { OwnershipCheck } from './ownership-check.ts'
import { ProbeJudge } from './probe-judge.ts'
import { ProgressReports } from './progress-reports.ts'
import { Pruner, type Retention } from './pruner.ts'
import { openQuarantine, Quarantine, type Duty } from './quarantine.ts'
import { Reconciler } from './reconciler.ts'
import { Relay } from './relay.ts'
import { ScheduleTicker } from './schedule-ticker.ts'
import { Sequencer } from './sequencer.ts'
import { Loop, pause, type LoopOptions, type Service } from './service.ts'
import { Settlements } from './settlements.ts'
import { SteadyClock } from './steady-clock.ts'
import { StuckHandlers } from './stuck-handlers.ts'
import { Suspects } from './suspects.ts'
import { Ticker } from './ticker.ts'
import { TransactionAlarm } from './transaction-alarm.ts'
import { Wishes } from './wishes.ts'

export interface WorkersOptions {
  readonly databaseUrl: string
  readonly carrier: Carrier
  readonly handlers: readonly Handler[]
  /** Queues to serve; all that the handlers name when absent. */
  readonly queues?: readonly string[] | undefined
  /** Jobs at once per queue. */
  readonly concurrency: number
  readonly retention: Retention
  /** What bringing events to endpoints takes: the installation's secret, and a way out. Absent: this process brings none. */
  readonly webhooks?: { readonly secret: string; readonly guardedFetch: GuardedFetch } | undefined
  /** Time without a heartbeat after which a worker process is declared dead, in milliseconds; at least four beats. */
  readonly leaseMs?: number
  /** `all` when absent. */
  readonly duty?: Duty
  /** Called when there has been no suspect for a while, where it is the duty to run them. */
  readonly onNoSuspects?: () => void
  /** Called when handlers that do not end, although nobody wants their jobs any more, hold half of a queue's slots. */
  readonly onStuck?: (queue: string) => void
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
/** Connections of the heart's own, so that it queues behind no other statement: one, and one more should that fall silent. */
const heartConnections = 2
/**
 * Time that each of the last steps of a stop may take, in milliseconds. With all of them, and with a carrier that does not answer
 * either, a stop must take less than `queues/process.ts` allows for beyond the grace.
 */
const lastStepMs = 2_500
const sendingMs = sendDeadlineMs + 500
/** Time that aborted handlers get to clean up before their jobs go back to the queue, in milliseconds. */
const cleanUpMs = 500

/**
 * Starts everything a worker process does; its database and carrier must be migrated and checked.
 *
 * @throws the driver's error when Postgres cannot be reached.
 */
export async function startWorkers(options: WorkersOptions): Promise<Workers> {
  const { carrier, concurrency, webhooks, log, leaseMs = defaultLeaseMs, duty = 'all' } = options
  const db = connect(options.databaseUrl, { applicationName: 'jobyard-workers' })
  const { sql } = db
  const handlers = [...options.handlers]
  if (webhooks) {
    const secrets = new SecretBox(webhooks.secret)
    await tellOfOtherSecret(sql, secrets, log)
    handlers.push(webhookDeliver({ sql, secrets, guardedFetch: webhooks.guardedFetch }))
  }
  const contracts = handlers.map(({ contract }) => contract)
  const queues = options.queues ?? [...new Set(contracts.map(({ queue }) => queue))]
  const heartDb = connect(options.databaseUrl, {
    applicationName: 'jobyard-heartbeat',
    max: heartConnections,
    statementTimeoutMs: leaseMs / 2,
  })
  const tickets = new TicketSender(carrier, {
    contracts,
    onLost: logLostTickets(log),
  })
  const ownership = new Ownership()
  const wishes = new Wishes(sql)
  const { tells } = wishes
  const claims = new Claims(sql, ownership, log, tells)
  const settlements = new Settlements(sql, log, tells)
  const progress = new ProgressReports(sql, tells)
  const { transactions } = db
  const nudge = new Nudge(() => sequencer.nudge())
  const onEvent = () => nudge.give()
  const attempts = new Attempts(handlers, { ownership, settlements, progress, transactions, tells, onEvent, log })

  await ensureQueues(sql, queues)
  const slots = duty === 'suspects' ? 1 : concurrency
  const describe = { host: hostname(), pid: process.pid, queues, concurrency: slots }
  const heartbeat = new Heartbeat({ sql: heartDb.sql, ownership, describe, leaseMs, log })
  await heartbeat.register()

  const check = new OwnershipCheck({ sql, ownership, tickets, answerWithinMs: leaseMs / 2, log })
  const reconciler = new Reconciler({ sql, carrier, tickets, queues, leaseMs, log })
  const runAttempt = (run: Run) => attempts.execute([run])
  const suspects = new Suspects({ sql, ownership, queues, runAttempt, tells, onQuiet: options.onNoSuspects, log })
  const stuck = new StuckHandlers({ attempts, slots, onHalf: options.onStuck, log })
  const quarantine = new Quarantine({ sql, queues, open: openQuarantine, log })
  const ticker = new Ticker(sql, tickets)
  const schedules = new ScheduleTicker({ sql, tickets, onEvent, log })
  const pruner = new Pruner(sql, options.retention, new SteadyClock({ read: () => readClock(sql), log }))
  const alarm = new TransactionAlarm(sql, log)
  const probes = new ProbeJudge(sql, tickets, log)
  const every = (everyMs: number, name: string, runOnce: LoopOptions['runOnce']) =>
    new Loop({ name, everyMs, runOnce, log })
  const beatMs = leaseMs / beatsPerLease
  const vitals = [
    every(beatMs, 'heartbeat', () => heartbeat.runOnce()),
    every(beatMs, 'ownership check', () => check.runOnce()),
    every(250, 'progress', () => progress.runOnce()),
    every(1_000, 'wishes', () => wishes.runOnce()),
    every(5_000, 'stuck handlers', async () => void stuck.runOnce()),
  ]
  const upkeep = [
    every(500, 'ticker', () => ticker.runOnce()),
    every(500, 'schedules', () => schedules.runOnce()),
    every(beatMs, 'reaper', async () => void (await reconciler.reap())),
    every(1_000, 'orphans', async () => (await reconciler.requeueOrphans()) === 1_000),
    every(2_000, 'arrivals', () => reconciler.collectArrivals()),
    every(5_000, 'probe', async () => void (await reconciler.probe())),
    every(5_000, 'pauses', async () => void (await reconciler.mirrorPauses())),
    every(5_000, 'clocks', () => reconciler.forgetWrongClocks()),
    every(5_000, 'dead tickets', () => reconciler.shedDeadTickets()),
    every(30_000, 'transaction alarm', async () => void (await alarm.runOnce())),
    every(60_000, 'pruner', () => pruner.runOnce()),
  ]
  const batchSizeOf = (queue: string) =>
    Math.max(1, ...contracts.map((contract) => (contract.queue === queue && contract.batch?.size) || 1))
  const slotsOf = (queue: string) => (queue === deliveries.queue ? concurrency * deliveriesPerSlot : concurrency)
  const jobWorkers = queues.map((queue) => {
    const own = { queue, concurrency: slotsOf(queue), batchSize: batchSizeOf(queue) }
    return new JobWorker({ ...own, carrier, claims, tickets, probes, attempts, log })
  })
  const relay = new Relay({ sql, tickets, log })
  const sequencer: Sequencer = new Sequencer({
    databaseUrl: options.databaseUrl,
    onUnplaced: () => placing.wake(),
    onPlaced: () => relaying.wake(),
    log,
  })
  const placing = every(1_000, 'sequencer', () => sequencer.runOnce())
  const relaying = every(1_000, 'relay', async () => (sequencer.leads ? relay.runOnce() : relay.rest()))
  const notifying = [placing, relaying]
  const inQuarantine = every(1_000, 'quarantine', () => quarantine.runOnce())
  const work: Record<Duty, readonly Service[]> = {
    ordinary: [...jobWorkers, ...upkeep, ...notifying, inQuarantine],
    suspects: [suspects],
    all: [...jobWorkers, ...upkeep, ...notifying, suspects],
  }
  for (const service of [...vitals, ...work[duty]]) service.start()
  log.info({ workerId: ownership.workerId, duty, queues, concurrency, carrier: carrier.kind }, 'workers are up')

  const hurried = new AbortController()
  const stop = async (graceMs: number) => {
    const nothingNew = Promise.all(work[duty].map((service) => service.stop()))
    const steppedDown = Promise.all(notifying.map((service) => service.stop())).then(() => sequencer.stepDown())
    const finished = nothingNew.then(() => ownership.idle()) // the heart beats on: these jobs are still ours
    await Promise.race([Promise.all([finished, quarantine.stop()]), pause(graceMs, hurried.signal)])
    claims.stop()
    const handedBack = ownership.size
    ownership.abortAll('handed_back')
    if (handedBack > 0) await pause(cleanUpMs)
    const last = <Result>(what: string, step: Promise<Result>, withinMs = lastStepMs): Promise<Result | void> =>
      withDeadline(step, withinMs, what).catch((error: unknown) =>
        log.error(
          { err: error },
          `${what} did not end in time; what is left runs again when this worker is declared dead`,
        ),
      )
    await Promise.all([
      last('The last fetches', Promise.all([nothingNew, steppedDown])),
      last('The last settlements', settlements.drained()),
      last('The quarantine', quarantine.stop()),
      last('The last heartbeat', Promise.all(vitals.map((service) => service.stop()))),
    ])
    ownership.abortAll('handed_back') // what those fetches have brought
    const handedOver = await last('Handing back', handBackEverything())
    await last('Sending the last tickets', sendLast(handedOver ?? []), sendingMs)
    nudge.stop()
    const databases = Promise.all([db.close(), heartDb.close(), sequencer.close()])
    await Promise.all([carrier.close(), last('Closing the database', databases)])
    log.info({ handedBack }, 'workers are down')
  }

  const handBackEverything = async () => {
    const { workerId } = ownership
    const jobs = await handBack(sql, workerId)
    await deleteWorker(sql, workerId) // from now on nothing can be claimed for it
    return [...jobs, ...(await handBack(sql, workerId))]
  }
  const sendLast = async (jobs: readonly Ticketable[]) => {
    await Promise.all([tickets.send(jobs), tickets.flush()])
  }

  let stopped: Promise<void> | undefined
  return { stop: (graceMs) => (stopped ??= stop(graceMs)), hurry: () => hurried.abort() }
}
