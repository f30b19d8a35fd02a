import { connect } from '@jobyard/db/connect'
import { openCarrier } from '@jobyard/queues/carrier'
import { migrateAll } from '@jobyard/queues/migrate'
import { createDatabase, createTemplate, startTestPostgres } from '@jobyard/testing/postgres'
import { startTestRedis } from '@jobyard/testing/redis'
import { Redis } from 'ioredis'
import { Random } from '../random.ts'
import { emptyReport, type Part } from '../report.ts'
import { simulateDay, type Day } from './day.ts'
import { simulateClock } from './simulated-clock.ts'
import { startSimulatedWorker } from './simulated-worker.ts'

/** Days on which clocks are moved in Berlin and in Beirut within 24 hours: forward, and back. */
const days = { forward: new Date('2026-03-28T20:30:00Z'), back: new Date('2026-10-24T20:30:00Z') }
const schedulesOfADay = 200
/** Longest step of a day that takes a minute; a longer run takes smaller ones, down to about the half second of real workers. */
const stepMsOfMinute = 50_000

/** Two simulated days with schedules of all kinds, and everything that can come between. */
export const schedules: Part = async (options) => {
  const { carrier, seed, minutes, onProgress } = options
  const startedAt = performance.now()
  const random = new Random(seed)
  const server = await startTestPostgres()
  const redis = carrier === 'redis' ? await startTestRedis() : undefined
  const flusher = redis && new Redis(redis.url)
  const found: Day[] = []
  try {
    await createTemplate(server.url, (url) => migrateAll(url, redis?.url))
    for (const [name, start] of Object.entries(days)) {
      const database = await createDatabase(server.url)
      const admin = connect(database.url, { applicationName: 'admin', max: 1 })
      await simulateClock(admin.sql, new URL(database.url).pathname.slice(1), start)
      await admin.close()
      const db = connect(database.url, { applicationName: 'simulation', max: 4 })
      const openOwn = () => openCarrier({ redisUrl: redis?.url, databaseUrl: database.url, onError: () => {} })
      const day = await simulateDay({
        db,
        startWorker: () => startSimulatedWorker(database.url, openOwn),
        flush: flusher && (async () => void (await flusher.flushall())),
        random: random.fork(),
        start,
        schedules: schedulesOfADay,
        longestStepMs: Math.max(Math.min(stepMsOfMinute / minutes, stepMsOfMinute), 1_500),
        onProgress: (at) => onProgress(`clocks go ${name}, ${at}`),
      })
      await db.close()
      await database.drop()
      found.push(day)
    }
  } finally {
    flusher?.disconnect()
    await redis?.stop()
    await server.stop()
  }
  return {
    ...emptyReport('schedules', options),
    violations: found.flatMap(({ violations }) => violations),
    faults: { real: sum(found.map(({ faults }) => faults)), exact: {} },
    figures: {
      'simulated hours': 24 * found.length,
      schedules: schedulesOfADay,
      ...sum(found.map(({ counts }) => counts)),
    },
    seconds: (performance.now() - startedAt) / 1_000,
  }
}

function sum(parts: readonly Record<string, number>[]): Record<string, number> {
  const total: Record<string, number> = {}
  for (const [name, value] of parts.flatMap((part) => Object.entries(part))) total[name] = (total[name] ?? 0) + value
  return total
}
