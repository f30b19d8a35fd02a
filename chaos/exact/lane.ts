import { buildApp } from '@jobyard/api/app'
import { connect, type Database } from '@jobyard/db/connect'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { openCarrier } from '@jobyard/queues/carrier'
import { createCatalogue } from '@jobyard/queues/catalogue'
import type { CarrierKind } from '@jobyard/testing/platform'
import { createDatabase } from '@jobyard/testing/postgres'
import { startTestRedis } from '@jobyard/testing/redis'
import { startWorkers } from '@jobyard/workers/supervisor'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { contracts, createHandlers, queues, slotsOf } from './handlers.ts'
import { startPostgresWire } from './postgres-wire.ts'
import { startRedisWire } from './redis-wire.ts'
import { Scene } from './scene.ts'
import { Switchboard } from './switchboard.ts'
import type { Wire } from './wire.ts'

/** What the API says about one item of a batch. */
export interface ItemAnswer {
  readonly id?: string
  readonly problem?: { readonly status: number }
}

/** An answer of the API, whose body is a job, a batch of items, or something that nobody looks at. */
export interface Answer {
  readonly status: number
  readonly body: { readonly id?: string; readonly status?: string; readonly items?: readonly ItemAnswer[] }
}

/** A call of the API. */
export interface Request {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

/** A worker beside the lasting one. */
export interface ExtraWorker {
  /** Stops it within the grace, in milliseconds, and cuts what it has left open. */
  stop(graceMs: number): Promise<void>
}

/** A platform in this process, all of whose calls to its servers pass a switchboard. */
export interface Lane {
  readonly kind: CarrierKind
  /** The record, past the wires. */
  readonly sql: Database['sql']
  readonly switchboard: Switchboard
  /** Where the present life is played. */
  scene: Scene
  call(request: Request): Promise<Answer>
  /** Starts a worker of the queue that others come and go for. @throws when a server refuses. */
  startWorker(role: string): Promise<ExtraWorker>
  /** Loses every ticket, past the wires. */
  loseTickets(): Promise<void>
  close(): Promise<void>
}

const adminKey = 'a-key-for-trials-of-32-characters!'
/** Time without a heartbeat after which a worker is declared dead, in milliseconds. */
const leaseMs = 2_000
const day = 86_400_000
const retention = { completedMs: day, failedMs: day, eventsMs: day, auditMs: day }

/** Opens a platform on a database and a carrier of its own: an API, and one worker that lasts. */
export async function openLane(kind: CarrierKind, postgresAdminUrl: string): Promise<Lane> {
  const database = await createDatabase(postgresAdminUrl)
  const redis = kind === 'redis' ? await startTestRedis() : undefined
  const direct = connect(database.url, { applicationName: 'outside', max: 2 })
  const { sql } = direct
  const switchboard = new Switchboard()
  const log = pino({ level: process.env.CHAOS_LOG_LEVEL ?? 'silent' })
  const catalogue = createCatalogue(contracts)
  await sql`create table effects (job_id uuid not null)`
  await ensureQueues(sql, catalogue.queues)

  const wires = new Set<Wire>()
  const openSide = async (role: string) => {
    const record = await startPostgresWire(database.url, switchboard.statements(`record/${role}`))
    const carrier = redis
      ? await startRedisWire(redis.url, switchboard.commands(`carrier/${role}`))
      : await startPostgresWire(database.url, switchboard.statements(`carrier/${role}`))
    wires.add(record).add(carrier)
    return {
      recordUrl: record.url,
      openCarrier: (listeners: number) =>
        openCarrier({
          databaseUrl: carrier.url,
          redisUrl: redis && carrier.url,
          listeners,
          onError: (err) => log.debug({ err, role }, 'carrier'),
        }),
      cut: () => {
        for (const wire of [record, carrier]) {
          wire.close()
          wires.delete(wire)
        }
      },
    }
  }

  const start = async (role: string, served: readonly string[]) => {
    const side = await openSide(role)
    const carrier = side.openCarrier(served.length)
    try {
      const handlers = createHandlers(role, () => lane.scene)
      const workers = await startWorkers({
        databaseUrl: side.recordUrl,
        carrier,
        handlers,
        queues: served,
        concurrency: slotsOf(role),
        leaseMs,
        retention,
        log: log.child({ role }),
      })
      return { workers, cut: side.cut }
    } catch (error) {
      side.cut()
      await carrier.close()
      throw error
    }
  }

  const api = await openSide('api')
  const apiDb = connect(api.recordUrl, { applicationName: 'api' })
  const apiCarrier = api.openCarrier(0)
  const app = await buildApp({
    db: apiDb,
    carrier: apiCarrier,
    catalogue,
    adminKey,
    secret: 'secret-of-trials',
    version: '0',
    log: log.child({ role: 'api' }),
  })
  const lane: Lane = {
    kind,
    sql,
    switchboard,
    scene: new Scene(),
    call: async ({ method, path, body, headers = {} }) => {
      const answer = await app.inject({
        method,
        url: path,
        headers: { authorization: `Bearer ${adminKey}`, ...headers },
        ...(body !== undefined && { payload: body as object }),
      })
      return { status: answer.statusCode, body: parse(answer.body, answer.headers['content-type']) }
    },
    startWorker: async (role) => {
      const { workers, cut } = await start(role, [queues.aside])
      return { stop: (graceMs) => workers.stop(graceMs).finally(cut) }
    },
    loseTickets: async () => {
      if (redis) await flush(redis.url)
      else await sql`delete from bullmq.job`
    },
    close: async () => {
      await lasting.workers.stop(0)
      await app.close()
      await apiCarrier.close()
      await apiDb.close()
      for (const wire of wires) wire.close()
      await direct.close()
      await redis?.stop()
      await database.drop().catch(() => {}) // forgotten connections are for other tests to find
    },
  }
  const lasting = await start('worker', queues.lasting)
  return lane
}

/** Bodies are JSON, or items line by line. */
function parse(body: string, contentType: unknown): Answer['body'] {
  if (!String(contentType).includes('ndjson')) return JSON.parse(body) as Answer['body']
  const lines = body.split('\n').filter((line) => line !== '')
  return { items: lines.map((line) => JSON.parse(line) as ItemAnswer) }
}

async function flush(url: string): Promise<void> {
  const client = new Redis(url)
  await client.flushall()
  client.disconnect()
}
