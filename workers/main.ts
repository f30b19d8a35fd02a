import { checkServer } from '@jobyard/db/check-server'
import { connect } from '@jobyard/db/connect'
import { parseAllowList } from '@jobyard/outbound/address-rules'
import { createGuardedFetch } from '@jobyard/outbound/guarded-fetch'
import { openCarrier } from '@jobyard/queues/carrier'
import { createLogger } from '@jobyard/queues/logger'
import { runProcess, stopOnSignals } from '@jobyard/queues/process'
import { readConfig } from './config.ts'
import { createHandlers } from './handlers/index.ts'
import { startWorkers } from './supervisor.ts'
import { startWatchdog } from './watchdog.ts'

/** Bounds of every request that a job's input names: a page or an API's answer, not a download. */
const outboundLimits = { timeoutMs: 30_000, maxBodyBytes: 1_048_576, maxHeaderBytes: 16_384 }

await runProcess(async () => {
  const config = readConfig(process.env)
  const log = createLogger('workers', config.LOG_LEVEL)
  const carrier = openCarrier({
    redisUrl: config.REDIS_URL,
    databaseUrl: config.DATABASE_URL,
    onError: (error) => log.warn({ err: error }, 'The carrier has trouble'),
  })
  await checkDatabase(config.DATABASE_URL)
  await carrier.check()
  const handlers = createHandlers({
    smtpUrl: config.SMTP_URL,
    guardedFetch: createGuardedFetch({ allow: parseAllowList(config.OUTBOUND_ALLOW), ...outboundLimits }),
  })

  const workers = await startWorkers({
    databaseUrl: config.DATABASE_URL,
    carrier,
    handlers,
    queues: config.WORKER_QUEUES,
    concurrency: config.WORKER_CONCURRENCY,
    retention: {
      completedMs: config.RETENTION_COMPLETED_MS,
      failedMs: config.RETENTION_FAILED_MS,
      eventsMs: config.RETENTION_EVENTS_MS,
    },
    log,
  })
  startWatchdog()
  stopOnSignals({ log, stop: () => workers.stop(config.SHUTDOWN_GRACE_MS), hurry: () => workers.hurry() })
  process.send?.({ working: true })
})

async function checkDatabase(url: string): Promise<void> {
  const db = connect(url, { applicationName: 'jobyard-check', max: 1 })
  try {
    await checkServer(db.sql)
  } finally {
    await db.close()
  }
}
