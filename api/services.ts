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
import { withinRecordBounds } from './plugins/record-bounds.ts'
import { Redrives } from './redrives.ts'
import { ScheduleActions } from './schedule-actions.ts'
import { EventStreams, type EventStreamLimits } from './streams/event-streams.ts'

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

/** Time that notes beside the traffic may take at the end, in milliseconds; a Postgres that is away gets none. */
const lastWordsMs = 2_000

/** What guards and routes of one API process work with. */
export type Services = ReturnType<typeof openServices>

/** Makes them, once for each process; `release` and `close` end them. */
export function openServices(deps: AppDependencies) {
  const { db, carrier, catalogue, log, recordTimeoutMs: deadlineMs } = deps
  const tickets = new TicketSender(carrier, {
    contracts: catalogue.contracts,
    onLost: logLostTickets(log),
  })
  const circuit = watchRecord(db.sql, log)
  const intake = new Intake({ sql: db.sql, transactions: db.transactions, tickets, circuit, deadlineMs })
  const quotas = openQuotas(deps)
  const entry = quotas ? new QuotaIntake(intake, quotas) : intake
  const actions = new JobActions({ db, carrier, intake: entry, tickets, catalogue })
  const callers = new Callers({ adminKey: deps.adminKey, sql: db.sql, circuit, jwt: deps.jwt })
  const auditBook = new AuditBook(db.sql, log)
  const finished = new FinishedJobs(db.sql)
  const items = new BatchItems(actions, entry, log)
  const batchStreams = new BatchStreams(items, deps.streamLimits)
  const eventStreams = new EventStreams({ sql: db.sql, circuit, log, limits: deps.eventStreamLimits })
  circuit.onChange((open) => batchStreams.holdUp(open))
  return {
    db,
    carrier,
    catalogue,
    tickets,
    circuit,
    actions,
    callers,
    auditBook,
    finished,
    items,
    batchStreams,
    eventStreams,
    deadlineMs,
    bounded: withinRecordBounds({ circuit, deadlineMs }),
    rateLimits: openRateLimits(deps),
    cursors: new Cursors(deps.secret),
    redrives: new Redrives(db, tickets),
    deliveries: new DeliveryActions(db.sql, tickets),
    endpoints: new EndpointActions({
      sql: db.sql,
      tickets,
      secrets: new SecretBox(deps.secret),
      log,
      allow: deps.outboundAllow ?? [],
    }),
    schedules: new ScheduleActions({ sql: db.sql, tickets, jobs: actions }),
    /** Nobody waits for a job any longer, and no stream is read on. */
    release: () => {
      finished.release()
      batchStreams.close()
      eventStreams.close()
    },
    /** Resolves when everything that was handed in is answered, and what is known is written down. */
    close: async () => {
      await intake.drained()
      await tickets.flush()
      await withDeadline(Promise.all([auditBook.drained(), callers.close()]), lastWordsMs, 'Closing').catch(() => {})
      circuit.stop()
      quotas?.close()
    },
  }
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
