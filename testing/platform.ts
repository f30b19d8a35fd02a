import { buildApp } from '@jobyard/api/app'
import { FinishedJobs } from '@jobyard/api/finished-jobs'
import { connect, type Database } from '@jobyard/db/connect'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { parseAllowList } from '@jobyard/outbound/address-rules'
import { createGuardedFetch } from '@jobyard/outbound/guarded-fetch'
import { openCarrier, type Carrier } from '@jobyard/queues/carrier'
import { createCatalogue } from '@jobyard/queues/catalogue'
import type { Handler } from '@jobyard/workers/define-handler'
import { echo } from '@jobyard/workers/handlers/echo'
import { startWorkers, type Workers } from '@jobyard/workers/supervisor'
import { pino } from 'pino'
import { describe, inject } from 'vitest'
import { secretOfTests } from './endpoints.ts'
import { createDatabase } from './postgres.ts'
import { startTestRedis, type TestRedis } from './redis.ts'

export type CarrierKind = Carrier['kind']
export const carrierKinds: readonly CarrierKind[] = ['postgres', 'redis']

/** Runs the same tests on both carriers. */
export function describeOnBothCarriers(name: string, tests: (kind: CarrierKind) => void): void {
  describe.each(carrierKinds)(`${name} (%s)`, tests)
}

export const adminKey = 'a-key-for-tests-of-32-characters!'

export interface PlatformOptions {
  readonly handlers?: readonly Handler[]
  /** Worker processes' worth of workers to start; 1 when absent. */
  readonly workers?: number
  readonly concurrency?: number
  readonly leaseMs?: number
  /** Addresses that webhooks may reach, as OUTBOUND_ALLOW names them; no private ones when absent. */
  readonly outboundAllow?: string
}

/** A whole platform in this process, on a database and a carrier of its own. */
export interface Platform {
  readonly databaseUrl: string
  readonly db: Database
  readonly carrier: Carrier
  /** Present on the Redis carrier; may be flushed and killed. */
  readonly redis: TestRedis | undefined
  readonly workers: Workers[]
  /** Starts one more worker process's worth. */
  startWorkers(options?: Partial<PlatformOptions>): Promise<Workers>
  /** Calls the API with the admin key. */
  call(
    method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>
  /** Submits a job, waits for it to end, and returns it. */
  run(type: string, input: unknown, more?: Record<string, unknown>): Promise<any>
  /** Waits until the job has ended, and returns it. */
  ended(id: string): Promise<any>
  stop(): Promise<void>
}

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | number | undefined>
  readonly body: any
}

const day = 86_400_000
/** Time a test's job has to end, in milliseconds. */
const longestRunMs = 25_000

/** Starts a platform; stop it at the end of the test. */
export async function startPlatform(kind: CarrierKind, options: PlatformOptions = {}): Promise<Platform> {
  const database = await createDatabase(inject('postgresAdminUrl'))
  const redis = kind === 'redis' ? await startTestRedis() : undefined
  const log = pino({ level: process.env.TEST_LOG_LEVEL ?? 'silent' })
  const open = () => openCarrier({ redisUrl: redis?.url, databaseUrl: database.url, onError: () => {} })
  const carrier = open()
  const db = connect(database.url, { applicationName: 'test' })
  const handlers = options.handlers ?? [echo]
  const catalogue = createCatalogue(handlers.map(({ contract }) => contract))
  await ensureQueues(db.sql, catalogue.queues)
  const outboundAllow = parseAllowList(options.outboundAllow ?? '')
  const secret = secretOfTests
  const app = await buildApp({ db, carrier, catalogue, adminKey, secret, outboundAllow, version: '0', log })

  const guardedFetch = createGuardedFetch({
    allow: outboundAllow,
    timeoutMs: 5_000,
    maxBodyBytes: 100_000,
    maxHeaderBytes: 16_384,
  })

  const workers: Workers[] = []
  const start = async (more: Partial<PlatformOptions> = {}) => {
    const { concurrency = 10, leaseMs = 2_000 } = { ...options, ...more }
    const started = await startWorkers({
      databaseUrl: database.url,
      carrier: open(),
      handlers: more.handlers ?? handlers,
      concurrency,
      leaseMs,
      retention: { completedMs: day, failedMs: day, eventsMs: day, auditMs: day },
      webhooks: { secret: secretOfTests, guardedFetch },
      log,
    })
    workers.push(started)
    return started
  }
  for (let count = 0; count < (options.workers ?? 1); count++) await start()

  const call: Platform['call'] = async (method, url, body, headers = {}) => {
    const answer = await app.inject({
      method,
      url,
      headers: { authorization: `Bearer ${adminKey}`, ...headers },
      ...(body !== undefined && { payload: body as object }),
    })
    return { status: answer.statusCode, headers: answer.headers, body: answer.body && JSON.parse(answer.body) }
  }
  const finished = new FinishedJobs(db.sql)
  const ended: Platform['ended'] = async (id) => {
    await finished.wait(id, longestRunMs)
    const { body } = await call('GET', `/v1/jobs/${id}`)
    if (!body.finishedAt) throw new Error(`Job ${id} has not ended within ${longestRunMs} ms: ${JSON.stringify(body)}`)
    return body
  }
  return {
    databaseUrl: database.url,
    db,
    carrier,
    redis,
    workers,
    startWorkers: start,
    call,
    ended,
    run: async (type, input, more) => {
      const { status, body } = await call('POST', '/v1/jobs', { type, input, ...more })
      if (status !== 202) throw new Error(`${type} was refused: ${JSON.stringify(body)}`)
      return ended(body.id)
    },
    stop: async () => {
      await Promise.all(workers.map((each) => each.stop(5_000)))
      await app.close()
      await carrier.close()
      await db.close()
      await redis?.stop()
      await database.drop()
    },
  }
}
