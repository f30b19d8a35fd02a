import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { validatorCompiler } from 'fastify-type-provider-zod'
import { registerAudit } from './plugins/audit.ts'
import { registerAuth } from './plugins/auth.ts'
import { registerBodies } from './plugins/bodies.ts'
import { BodyDeadline } from './plugins/body-deadline.ts'
import { registerErrors } from './plugins/errors.ts'
import { registerHeaders } from './plugins/headers.ts'
import { registerOpenApi } from './plugins/openapi.ts'
import { answerBadUrl, answerClientError, refuseUnclearRequests } from './plugins/protocol.ts'
import { registerRateLimits } from './plugins/rate-limits.ts'
import { boundRecordRoutes } from './plugins/record-bounds.ts'
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
import { openServices, type AppDependencies, type Services } from './services.ts'
import { Upgrades } from './streams/upgrades.ts'

/** Largest body of a request, in bytes. */
const bodyLimit = 1_048_576
/** Time a client has to send the head of a request, and then its body, in milliseconds. */
const requestTimeoutMs = 30_000

/** Wires the API; listening is up to the caller. Closing it answers what is under way first; who waits for a job gets it as it is. */
export async function buildApp(deps: AppDependencies): Promise<FastifyInstance> {
  const app = openServer(deps)
  const services = openServices(deps)
  const bodyDeadline = new BodyDeadline(app.server, deps.bodyTimeoutMs ?? requestTimeoutMs)
  await addGuards(app, services, deps.corsOrigins)
  await registerOpenApi(app, deps.version)
  endWaitingOnClose(app, services)
  await addRoutes(app, services, { bodyDeadline, accepting: deps.accepting ?? (() => true) })
  app.addHook('onClose', () => services.close())
  return app
}

function openServer({ log, trustedProxies = [], headTimeoutMs = requestTimeoutMs }: AppDependencies): FastifyInstance {
  const loggerInstance: FastifyBaseLogger = log
  const upgrades = new Upgrades()
  const app = Fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: (logger) => logger, // nothing is logged by request, and one for each costs a microsecond
    bodyLimit,
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
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
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  return app
}

/** What every request passes, in this order, before its route. */
async function addGuards(app: FastifyInstance, services: Services, corsOrigins: readonly string[] = []): Promise<void> {
  const { callers, rateLimits, circuit, deadlineMs, auditBook, bounded } = services
  registerBodies(app)
  registerErrors(app)
  await registerHeaders(app, corsOrigins)
  refuseUnclearRequests(app)
  registerAuth(app, callers)
  if (rateLimits) registerRateLimits(app, rateLimits)
  boundRecordRoutes(app, { circuit, deadlineMs })
  registerAudit(app, auditBook, bounded)
}

async function addRoutes(
  app: FastifyInstance,
  services: Services,
  { bodyDeadline, accepting }: { readonly bodyDeadline: BodyDeadline; readonly accepting: () => boolean },
): Promise<void> {
  const { sql, listings } = services.db
  await app.register(jobRoutes, { ...services, listings })
  await app.register(redriveRoutes, services)
  await app.register(endpointRoutes, services)
  await app.register(deliveryRoutes, services)
  await app.register(scheduleRoutes, { ...services, jobs: services.actions })
  await app.register(eventRoutes, { ...services, sql, streams: services.eventStreams })
  await app.register(batchRoutes, { ...services, streams: services.batchStreams, bodyDeadline })
  await app.register(jobTypeRoutes, services)
  await app.register(queueRoutes, { ...services, sql })
  await app.register(healthRoutes, { ...services, sql, accepting })
  await app.register(apiKeyRoutes, { ...services, sql })
  await app.register(auditLogRoutes, { ...services, sql })
  await app.register(boardRoutes, { ...services, sql })
}

/** While the app closes each answer is the last of its connection. */
function endWaitingOnClose(app: FastifyInstance, services: Services): void {
  let closing = false
  app.addHook('preClose', async () => {
    closing = true
    services.release()
  })
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (closing) reply.header('connection', 'close')
    done()
  })
}
