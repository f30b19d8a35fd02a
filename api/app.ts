import type { Database } from '@jobyard/db/connect'
import type { AllowList } from '@jobyard/outbound/address-rules'
import type { Carrier } from '@jobyard/queues/carrier'
import type { Catalogue } from '@jobyard/queues/catalogue'
import { Circuit } from '@jobyard/queues/circuit'
import { withDeadline } from '@jobyard/queues/deadline'
import { Intake } from '@jobyard/queues/intake'
import { logLostTickets } from '@jobyard/queues/log-together'
import { SecretBox } from '@jobyard/queues/secret-box'
import { TicketSender } from '@jobyard/queues/tickets'
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { validatorCompiler } from 'fastify-type-provider-zod'
import type { Logger } from 'pino'
import { BatchItems } from './batch-items.ts'
import type { StreamLimits } from './batch-stream.ts'
import { BatchStreams } from './batch-streams.ts'
import { AuditBook } from './callers/audit-book.ts'
import { Callers } from './callers/callers.ts'
import type { JwtSettings } from './callers/jwt-settings.ts'
import { Cursors } from './cursor.ts'
import { DeliveryActions } from './delivery-actions.ts'
import { EndpointActions } from './endpoint-actions.ts'
import { FinishedJobs } from './finished-jobs.ts'
import { JobActions } from './job-actions.ts'
import { QuotaIntake } from './limits/quota-intake.ts'
import { Quotas, type QuotaSettings } from './limits/quotas.ts'
import { RateLimits, type RateLimitSettings } from './limits/rate-limits.ts'
import { registerAudit } from './plugins/audit.ts'
import { registerAuth } from './plugins/auth.ts'
import { registerBodies } from './plugins/bodies.ts'
import { BodyDeadline } from './plugins/body-deadline.ts'
import { registerErrors } from './plugins/errors.ts'
import { registerHeaders } from './plugins/headers.ts'
import { registerOpenApi } from './plugins/openapi.ts'
import { answerBadUrl, answerClientError, refuseUnclearRequests } from './plugins/protocol.ts'
import { registerRateLimits } from './plugins/rate-limits.ts'
import { boundRecordRoutes, withinRecordBounds } from './plugins/record-bounds.ts'
import { apiKeyRoutes } from './routes/api-keys.ts'
import { auditLogRoutes } from './routes/audit-log.ts'
import { batchRoutes } from './routes/batch.ts'
import { boardRoutes } from './routes/board.ts'
import { deliveryRoutes } from './routes/deliveries.ts'
import { endpointRoutes } from './routes/endpoints.ts'
import { eventRoutes } from './routes/events.ts'
import { healthRoutes } from './routes/health.ts'
import { jobRoutes } from './routes/jobs.ts'
import { jobTypeRoutes } from './routes/job-types.ts'
import { queueRoutes } from './routes/queues.ts'
import { redriveRoutes } from './routes/redrives.ts'
import { scheduleRoutes } from './routes/schedules.ts'
import { Redrives } from './redrives.ts'
import { ScheduleActions } from './schedule-actions.ts'
import { EventStreams, type EventStreamLimits } from './streams/event-streams.ts'
import { Upgrades } from './streams/upgrades.ts'

export interface AppDependencies {
  readonly db: Database
  readonly carrier: Carrier
  readonly catalogue: Catalogue
  readonly adminKey: string
  /** Signs cursors, and encrypts the secrets of endpoints. */
  readonly secret: string
  /** Which tokens of others let callers in; none when absent. */
  readonly jwt?: JwtSettings | undefined
  /** Sites whose pages may call the API; none when absent. */
  readonly corsOrigins?: readonly string[]
  /** Addresses and networks of proxies whose `X-Forwarded-…` headers are believed; none when absent. */
  readonly trustedProxies?: readonly string[]
  /** Private hosts and networks that endpoints may be at; none when absent. */
  readonly outboundAllow?: AllowList
  readonly version: string
  readonly log: Logger
  /** False while the process is draining. */
  readonly accepting?: () => boolean
  /** Time a client has to send the head of a request, in milliseconds. */
  readonly headTimeoutMs?: number
  /** Time a client has to send a whole body, in milliseconds. */
  readonly bodyTimeoutMs?: number
  /** Time that a request may wait for Postgres, in milliseconds. */
  readonly recordTimeoutMs?: number | undefined
  /** Where streams differ from their defaults. */
  readonly streamLimits?: Partial<StreamLimits>
  /** Where streams of events differ from their defaults. */
  readonly eventStreamLimits?: Partial<EventStreamLimits> | undefined
  /** How much tenants and keys may send; as much as they like when absent. */
  readonly rateLimits?: RateLimitSettings | undefined
  /** How much of each tenant may wait; as much as there is room for when absent. */
  readonly quotas?: QuotaSettings | undefined
}

/** Largest body of a request, in bytes. */
const bodyLimit = 1_048_576
/** Time a client has to send the head of a request, and then its body, in milliseconds. */
const requestTimeoutMs = 30_000
/** Time that notes beside the traffic may take when the app closes, in milliseconds; a Postgres that is away gets none. */
const lastWordsMs = 2_000

/** Wires the API; listening is up to the caller. Closing it answers what is under way first; who waits for a job gets it as it is. */
export async function buildApp(deps: AppDependencies): Promise<FastifyInstance> {
  const { db, carrier, catalogue, log, accepting = () => true } = deps
  const { headTimeoutMs = requestTimeoutMs, bodyTimeoutMs = requestTimeoutMs } = deps
  const tickets = new TicketSender(carrier, {
    contracts: catalogue.contracts,
    onLost: logLostTickets(log),
  })
  const circuit = watchRecord(db.sql, log)
  const deadlineMs = deps.recordTimeoutMs
  const intake = new Intake({ sql: db.sql, transactions: db.transactions, tickets, circuit, deadlineMs })
  const quotas = openQuotas(deps)
  const entry = quotas ? new QuotaIntake(intake, quotas) : intake
  const actions = new JobActions({ db, carrier, intake: entry, tickets, catalogue })

  const loggerInstance: FastifyBaseLogger = log
  const upgrades = new Upgrades()
  const app = Fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: (logger) => logger, // nothing is logged by request, and one for each costs a microsecond
    bodyLimit,
    trustProxy: deps.trustedProxies?.length ? [...deps.trustedProxies] : false,
    clientErrorHandler: answerClientError,
    frameworkErrors: answerBadUrl,
    http: {
      headersTimeout: headTimeoutMs,
      connectionsCheckingInterval: Math.min(headTimeoutMs, 5_000),
      requireHostHeader: false,
      shouldUpgradeCallback: (request) => upgrades.admits(request),
    },
    forceCloseConnections: 'idle',
  })
  upgrades.watch(app)
  const bodyDeadline = new BodyDeadline(app.server, bodyTimeoutMs)
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  registerBodies(app)
  registerErrors(app)
  await registerHeaders(app, deps.corsOrigins ?? [])
  refuseUnclearRequests(app)
  const callers = new Callers({ adminKey: deps.adminKey, sql: db.sql, circuit, jwt: deps.jwt })
  registerAuth(app, callers)
  const rateLimits = openRateLimits(deps)
  if (rateLimits) registerRateLimits(app, rateLimits)
  boundRecordRoutes(app, { circuit, deadlineMs })
  const bounded = withinRecordBounds({ circuit, deadlineMs })
  const auditBook = new AuditBook(db.sql, log)
  registerAudit(app, auditBook, bounded)
  await registerOpenApi(app, deps.version)
  const finished = new FinishedJobs(db.sql)
  const items = new BatchItems(actions, entry, log)
  const streams = new BatchStreams(items, deps.streamLimits)
  const events = new EventStreams({ sql: db.sql, circuit, log, limits: deps.eventStreamLimits })
  endWaitingOnClose(app, finished, streams, events)
  circuit.onChange((open) => streams.holdUp(open))
  const cursors = new Cursors(deps.secret)
  const secrets = new SecretBox(deps.secret)
  const deliveries = new DeliveryActions(db.sql, tickets)
  const endpoints = new EndpointActions({ sql: db.sql, tickets, secrets, log, allow: deps.outboundAllow ?? [] })
  const schedules = new ScheduleActions({ sql: db.sql, tickets, jobs: actions })
  await app.register(jobRoutes, { actions, finished, listings: db.listings, cursors, callers })
  await app.register(redriveRoutes, { redrives: new Redrives(db, tickets), cursors })
  await app.register(endpointRoutes, { endpoints, deliveries, cursors })
  await app.register(deliveryRoutes, { deliveries, cursors })
  await app.register(scheduleRoutes, { schedules, jobs: actions, cursors })
  await app.register(eventRoutes, {
    sql: db.sql,
    streams: events,
    callers,
    bounded,
  })
  await app.register(batchRoutes, { items, streams, callers, bodyDeadline, rateLimits })
  await app.register(jobTypeRoutes, { catalogue })
  await app.register(queueRoutes, { sql: db.sql, actions })
  await app.register(healthRoutes, { sql: db.sql, circuit, carrier, tickets, accepting })
  await app.register(apiKeyRoutes, { sql: db.sql, callers, cursors })
  await app.register(auditLogRoutes, { sql: db.sql, cursors })
  await app.register(boardRoutes, { sql: db.sql, actions, schedules, catalogue, callers })
  app.addHook('onClose', async () => {
    await intake.drained()
    await tickets.flush()
    await withDeadline(Promise.all([auditBook.drained(), callers.close()]), lastWordsMs, 'Closing').catch(() => {})
    circuit.stop()
    quotas?.close()
  })
  return app
}

/** Limits that nobody has set cost nothing, not even a connection. */
function openRateLimits({ rateLimits: { tenant, key } = {}, carrier, log }: AppDependencies): RateLimits | undefined {
  if (!tenant && !key) return undefined
  return new RateLimits({ tenant, key, store: carrier.openTokenStore(), log })
}

/** As the rate limits: without quotas nothing is counted. */
function openQuotas({ db, log, quotas = {} }: AppDependencies): Quotas | undefined {
  if (quotas.maxWaitingJobs === undefined && quotas.maxWaitingBytes === undefined) return undefined
  return new Quotas({ ...quotas, sql: db.sql, log })
}

/** Says in the log when Postgres is away, and when it is back. */
function watchRecord(sql: Database['sql'], log: Logger): Circuit {
  const circuit = new Circuit({ probe: async () => sql`select 1` })
  circuit.onChange((open) => {
    if (open) log.error('Postgres does not answer: requests are refused until it does')
    else log.info('Postgres answers again')
  })
  return circuit
}

/** While the app closes, nobody waits for a job any longer, no stream is read on, and each answer is the last of its connection. */
function endWaitingOnClose(
  app: FastifyInstance,
  finished: FinishedJobs,
  streams: BatchStreams,
  events: EventStreams,
): void {
  let closing = false
  app.addHook('preClose', async () => {
    closing = true
    finished.release()
    streams.close()
    events.close()
  })
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (closing) reply.header('connection', 'close')
    done()
  })
}
