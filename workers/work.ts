import { checkServer } from '@jobyard/db/check-server'
import { connect } from '@jobyard/db/connect'
import { parseAllowList } from '@jobyard/outbound/address-rules'
import { createGuardedFetch } from '@jobyard/outbound/guarded-fetch'
import { awaitServer } from '@jobyard/queues/await-server'
import { openCarrier, type Carrier } from '@jobyard/queues/carrier'
import { catalogue, type Catalogue } from '@jobyard/queues/catalogue'
import { createLogger } from '@jobyard/queues/logger'
import type { StopSignals } from '@jobyard/queues/process'
import { applySchedulesFile } from '@jobyard/queues/schedules/schedules-file'
import type { Logger } from 'pino'
import { readConfig } from './config.ts'
import type { Handler } from './define-handler.ts'
import { createHandlers, type HandlerDependencies } from './handlers/index.ts'
import { startWorkers } from './supervisor.ts'
import { startWatchdog } from './watchdog.ts'

/** Bounds of every request to a stranger's URL: a page or an API's answer, not a download. */
const outboundLimits = { timeoutMs: 30_000, maxBodyBytes: 1_048_576, maxHeaderBytes: 16_384 }

/** Not 0, so that whatever restarts failed processes only starts a new one. */
const stuckExitCode = 1

/** The types that a worker process runs. */
export interface KnownTypes {
  readonly catalogue: Catalogue
  readonly createHandlers: (deps: HandlerDependencies) => readonly Handler[]
}

/**
 * Runs a worker process: waits for its servers, then works until a signal comes.
 *
 * @param types those of this installation when absent.
 * @throws Error with one clear line when it cannot start.
 */
export async function work(signals: StopSignals, types: KnownTypes = { catalogue, createHandlers }): Promise<void> {
  const { queues } = types.catalogue
  const config = readConfig(process.env, queues)
  const duty = config.WORKER_DUTY
  const log = createLogger('workers', config.LOG_LEVEL)
  const carrier = openCarrier({
    redisUrl: config.REDIS_URL,
    databaseUrl: config.DATABASE_URL,
    listeners: duty === 'suspects' ? 0 : (config.WORKER_QUEUES ?? queues).length,
    onError: (error) => log.warn({ err: error }, 'The carrier has trouble'),
  })
  await awaitDatabase(config.DATABASE_URL, log)
  if (duty !== 'suspects') await awaitCarrier(config, carrier, log) // suspects have no tickets
  if (config.JOBYARD_SCHEDULES && duty !== 'suspects')
    await applyFile(config.JOBYARD_SCHEDULES, config.DATABASE_URL, types.catalogue, log)
  const guardedFetch = createGuardedFetch({
    allow: parseAllowList(config.OUTBOUND_ALLOW),
    proxy: config.OUTBOUND_PROXY === undefined ? undefined : new URL(config.OUTBOUND_PROXY),
    ...outboundLimits,
  })
  const handlers = types.createHandlers({ smtpUrl: config.SMTP_URL, guardedFetch })

  const workers = await startWorkers({
    databaseUrl: config.DATABASE_URL,
    carrier,
    handlers,
    queues: config.WORKER_QUEUES,
    duty,
    onNoSuspects: () => signals.stop('There are no suspects any more', 0),
    onStuck: (queue) => signals.stop(`Handlers that do not end hold half of the slots of ${queue}`, stuckExitCode),
    concurrency: config.WORKER_CONCURRENCY,
    retention: {
      completedMs: config.RETENTION_COMPLETED_MS,
      failedMs: config.RETENTION_FAILED_MS,
      eventsMs: config.RETENTION_EVENTS_MS,
      auditMs: config.RETENTION_AUDIT_MS,
    },
    webhooks: { secret: config.JOBYARD_SECRET, guardedFetch },
    log,
  })
  const graceMs = config.SHUTDOWN_GRACE_MS
  signals.stopWith({ log, graceMs, stop: () => workers.stop(graceMs), hurry: () => workers.hurry() })
  startWatchdog()
  process.send?.({ working: true })
}

/** @throws Error that names the file and what is wrong with it; nothing of it was done then. */
async function applyFile(path: string, databaseUrl: string, known: Catalogue, log: Logger): Promise<void> {
  const changes = await applySchedulesFile(databaseUrl, { path, catalogue: known })
  log.info({ path, changes: changes.filter(({ change }) => change !== 'unchanged') }, 'The schedules file is applied')
}

async function awaitCarrier(config: ReturnType<typeof readConfig>, carrier: Carrier, log: Logger): Promise<void> {
  await awaitServer({
    ...(config.REDIS_URL
      ? { name: 'Redis', variable: 'REDIS_URL', url: config.REDIS_URL }
      : { name: 'Postgres', variable: 'DATABASE_URL', url: config.DATABASE_URL }),
    check: () => carrier.check(),
    log,
  })
}

async function awaitDatabase(url: string, log: Logger): Promise<void> {
  const db = connect(url, { applicationName: 'jobyard-check', max: 1 })
  try {
    await awaitServer({
      name: 'Postgres',
      variable: 'DATABASE_URL',
      url,
      check: () => checkServer(db.sql),
      log,
    })
  } finally {
    await db.close()
  }
}
