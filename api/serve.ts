import { checkServer } from '@jobyard/db/check-server'
import { connect, type Database } from '@jobyard/db/connect'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { parseAllowList } from '@jobyard/outbound/address-rules'
import { awaitServer } from '@jobyard/queues/await-server'
import { openCarrier, type Carrier } from '@jobyard/queues/carrier'
import { catalogue as installed } from '@jobyard/queues/catalogue'
import { withDeadline } from '@jobyard/queues/deadline'
import { createLogger } from '@jobyard/queues/logger'
import type { StopSignals } from '@jobyard/queues/process'
import { sendDeadlineMs } from '@jobyard/queues/tickets'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { buildApp } from './app.ts'
import { readConfig } from './config.ts'
import packageJson from './package.json' with { type: 'json' }

/** Time that requests have to end once their connections are cut, and then the last tickets to be sent, in milliseconds. */
const cutOffMs = 3_000 + sendDeadlineMs
/** Time that closing the connections to the servers may take, in milliseconds. */
const closingMs = 6_000

/**
 * Runs an API process: waits for Postgres, then listens until a signal comes.
 *
 * @param catalogue the types that it takes: those of this installation when absent.
 * @throws Error with one clear line when it cannot start.
 */
export async function serve(signals: StopSignals, catalogue = installed): Promise<void> {
  const config = readConfig(process.env)
  const outboundAllow = parseAllowList(config.OUTBOUND_ALLOW)
  const log = createLogger('api', config.LOG_LEVEL)
  const db = connect(config.DATABASE_URL, { applicationName: 'jobyard-api' })
  const carrier = openCarrier({
    redisUrl: config.REDIS_URL,
    databaseUrl: config.DATABASE_URL,
    onError: (error) => log.warn({ err: error }, 'The carrier has trouble'),
  })
  await awaitServer({
    name: 'Postgres',
    variable: 'DATABASE_URL',
    url: config.DATABASE_URL,
    check: () => checkServer(db.sql),
    log,
  })
  await ensureQueues(db.sql, catalogue.queues)

  let accepting = true
  // Workers refuse such a carrier; jobs can be accepted without one.
  carrier.check().catch((error: Error) => accepting && log.warn(error.message))
  const app = await buildApp({
    db,
    carrier,
    catalogue,
    adminKey: config.JOBYARD_ADMIN_KEY,
    secret: config.JOBYARD_SECRET,
    jwt: config.jwt,
    corsOrigins: config.CORS_ORIGINS,
    trustedProxies: config.TRUSTED_PROXIES,
    outboundAllow,
    quotas: { maxWaitingJobs: config.TENANT_MAX_WAITING_JOBS, maxWaitingBytes: config.TENANT_MAX_WAITING_BYTES },
    rateLimits: { tenant: config.RATE_LIMIT_TENANT, key: config.RATE_LIMIT_KEY },
    version: packageJson.version,
    log,
    accepting: () => accepting,
  })
  const graceMs = config.SHUTDOWN_GRACE_MS
  signals.stopWith({
    log,
    graceMs,
    stop: async () => {
      accepting = false
      await answerRequests(app, graceMs)
      await closeConnections(carrier, db, log)
    },
    hurry: () => process.exit(0),
  })
  const address = await app.listen({ host: config.HOST, port: config.PORT })
  log.info({ address, carrier: carrier.kind }, 'api is up')
  process.send?.({ listening: address })
}

/**
 * Answers the requests under way. After the grace their connections are cut: a client may never send the rest of a body.
 *
 * @throws DeadlineError when a request does not end even then.
 */
async function answerRequests(app: FastifyInstance, graceMs: number): Promise<void> {
  const cut = setTimeout(() => app.cutConnections(), graceMs)
  await withDeadline(app.close(), graceMs + cutOffMs, 'Closing the requests under way')
  clearTimeout(cut)
}

/** Nothing is lost when a server that does not answer is left without a good-bye. */
async function closeConnections(carrier: Carrier, db: Database, log: Logger): Promise<void> {
  try {
    await withDeadline(Promise.all([carrier.close(), db.close()]), closingMs, 'Closing the connections')
  } catch (error) {
    log.warn({ err: error }, 'A server did not answer; its connections end with this process')
  }
}
