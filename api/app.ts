import type { Database } from '@jobyard/db/connect'
import type { AllowList } from '@jobyard/outbound/address-rules'
import type { Carrier } from '@jobyard/queues/carrier'
import type { Catalogue } from '@jobyard/queues/catalogue'
import { Circuit } from '@jobyard/queues/circuit'
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
import { Cursors } from './cursor.ts'
import { DeliveryActions } from './delivery-actions.ts'
import { EndpointActions } from './endpoint-actions.ts'
import { FinishedJobs } from './finished-jobs.ts'
import { JobActions } from './job-actions.ts'
import { parseJson } from './parse-json.ts'
import { keyMatcher, registerAuth } from './plugins/auth.ts'
import { BodyDeadline } from './plugins/body-deadline.ts'
import { registerErrors } from './plugins/errors.ts'
import { registerOpenApi } from './plugins/openapi.ts'
import { boundRecordRoutes, withinRecordBounds } from './plugins/record-bounds.ts'
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
  /** Private hosts and networks that endpoints may be at; none when absent. */
  readonly outboundAllow?: AllowList
  readonly version: string
  readonly log: Logger
  /** False while the process is draining. */
  readonly accepting?: () => boolean
  /** Time a client has to send a whole body, in milliseconds. */
  readonly bodyTimeoutMs?: number
  /** Time that a request may wait for Postgres, in milliseconds. */
  readonly recordTimeoutMs?: number | undefined
  /** Where streams differ from their defaults. */
  readonly streamLimits?: Partial<StreamLimits>
  /** Where streams of events differ from their defaults. */
  readonly eventStreamLimits?: Partial<EventStreamLimits> | undefined
}

/** Largest body of a request, in bytes. */
const bodyLimit = 1_048_576
/** Time a client has to send the head of a request, and then its body, in milliseconds. */
const requestTimeoutMs = 30_000

/** Wires the API; listening is up to the caller. Closing it answers what is under way first; who waits for a job gets it as it is. */
export async function buildApp(deps: AppDependencies): Promise<FastifyInstance> {
  const { db, carrier, catalogue, log, accepting = () => true, bodyTimeoutMs = requestTimeoutMs } = deps
  const tickets = new TicketSender(carrier, {
    contracts: catalogue.contracts,
    onLost: logLostTickets(log),
  })
  const circuit = watchRecord(db.sql, log)
  const deadlineMs = deps.recordTimeoutMs
  const intake = new Intake({ sql: db.sql, transactions: db.transactions, tickets, circuit, deadlineMs })
  const actions = new JobActions({ db, carrier, intake, tickets, catalogue })

  const loggerInstance: FastifyBaseLogger = log
  const upgrades = new Upgrades()
  const app = Fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit,
    http: { headersTimeout: requestTimeoutMs, shouldUpgradeCallback: (request) => upgrades.admits(request) },
    forceCloseConnections: 'idle',
  })
  upgrades.watch(app)
  const bodyDeadline = new BodyDeadline(app.server, bodyTimeoutMs)
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, parseJson(body as string))
    } catch (error) {
      done(error as Error)
    }
  })
  registerErrors(app)
  registerAuth(app, deps.adminKey)
  boundRecordRoutes(app, { circuit, deadlineMs })
  await registerOpenApi(app, deps.version)
  const finished = new FinishedJobs(db.sql)
  const items = new BatchItems(actions, intake, log)
  const streams = new BatchStreams(items, deps.streamLimits)
  const events = new EventStreams({ sql: db.sql, circuit, log, limits: deps.eventStreamLimits })
  endWaitingOnClose(app, finished, streams, events)
  circuit.onChange((open) => streams.holdUp(open))
  const cursors = new Cursors(deps.secret)
  const secrets = new SecretBox(deps.secret)
  const deliveries = new DeliveryActions(db.sql, tickets)
  const endpoints = new EndpointActions({ sql: db.sql, tickets, secrets, log, allow: deps.outboundAllow ?? [] })
  const schedules = new ScheduleActions({ sql: db.sql, tickets, jobs: actions })
  await app.register(jobRoutes, { actions, finished, listings: db.listings, cursors })
  await app.register(redriveRoutes, { redrives: new Redrives(db, tickets), cursors })
  await app.register(endpointRoutes, { endpoints, deliveries, cursors })
  await app.register(deliveryRoutes, { deliveries, cursors })
  await app.register(scheduleRoutes, { schedules, jobs: actions, cursors })
  await app.register(eventRoutes, {
    sql: db.sql,
    streams: events,
    bounded: withinRecordBounds({ circuit, deadlineMs }),
  })
  await app.register(batchRoutes, { items, streams, bodyDeadline })
  await app.register(jobTypeRoutes, { catalogue })
  await app.register(queueRoutes, { sql: db.sql, actions })
  await app.register(healthRoutes, { sql: db.sql, circuit, carrier, tickets, accepting })
  await app.register(boardRoutes, { sql: db.sql, actions, schedules, catalogue, isAdminKey: keyMatcher(deps.adminKey) })
  app.addHook('onClose', async () => {
    await intake.drained()
    await tickets.flush()
    circuit.stop()
  })
  return app
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
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close')
  })
}
