import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import type { Random } from '../../random.ts'
import type { Stage } from '../../stage/stage.ts'
import type { Fault } from '../fault.ts'

const beyondLeaseMs = 14_000
/** Longer than any statement may take. */
const beyondStatementMs = 12_000

/** What may happen to Postgres. */
export const postgresFaults: readonly Fault[] = [
  ...(['fast', 'immediate', 'kill'] as const).map((how): Fault => ({
    name: `Postgres restarted (${how})`,
    inject: async (stage, random) => {
      const ms = random.int(0, 3_000)
      await stage.postgres.down(how)
      await delay(ms)
      await stage.raisePostgres()
      return `after ${ms} ms`
    },
  })),
  {
    name: 'Postgres stopped and continued',
    inject: (stage, random) => freeze(stage, random.int(500, 4_000)),
  },
  {
    name: 'Postgres stopped beyond the lease',
    inject: (stage) => freeze(stage, beyondLeaseMs),
  },
  {
    name: 'Postgres drops connections',
    inject: async ({ db }, random) => {
      const share = random.int(10, 100)
      await db.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name like 'jobyard%' and random() * 100 < ${share}`
      return `${share} of a hundred`
    },
  },
  {
    // Not those of handlers: a statement of theirs that somebody cancels is a failure of theirs.
    name: 'Postgres cancels statements',
    inject: async ({ db }, random) => {
      const times = random.int(5, 50)
      for (let time = 0; time < times; time++) {
        await db.sql`
          select pg_cancel_backend(pid) from pg_stat_activity
          where application_name like 'jobyard%' and application_name not like '% transaction' and state = 'active'`
        await delay(20)
      }
      return `${times} times`
    },
  },
  {
    name: 'jobs locked',
    inject: (stage, random) => lock(stage, random, random.int(500, 4_000)),
  },
  {
    name: 'jobs locked beyond the time of statements',
    inject: (stage, random) => lock(stage, random, beyondStatementMs),
  },
  {
    name: 'Postgres takes no more connections',
    inject: async (stage, random) => {
      const ms = random.int(1_000, 4_000)
      const hogs = Array.from({ length: 300 }, () => postgres(stage.postgres.url, { max: 1, onnotice: () => {} }))
      const held = hogs.map((hog) => hog`select 1`.catch(() => {}))
      await Promise.all(held)
      await stage.db.sql`
        select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'jobyard%'`.catch(() => {})
      await delay(ms)
      await Promise.all(hogs.map((hog) => hog.end({ timeout: 1 })))
      return `for ${ms} ms`
    },
  },
  {
    name: 'carrier wiped',
    carriers: ['postgres'],
    inject: async ({ db }) => {
      await db.sql`truncate bullmq.job, bullmq.meta, bullmq.event, bullmq.rate_limit, bullmq.dedup cascade`
      return ''
    },
  },
  {
    name: 'tickets lost',
    carriers: ['postgres'],
    inject: async ({ db }, random) => {
      const share = random.int(1, 100)
      await db.sql`delete from bullmq.job where random() * 100 < ${share}`
      return `${share} of a hundred`
    },
  },
]

async function freeze({ postgres: server }: Stage, ms: number): Promise<string> {
  await server.signalAll('SIGSTOP')
  await delay(ms)
  await server.signalAll('SIGCONT')
  return `for ${ms} ms`
}

async function lock(stage: Stage, random: Random, ms: number): Promise<string> {
  const table = random.pick(['jobs', 'arrivals', 'claims', 'outbox', 'workers'])
  const holder = postgres(stage.postgres.url, { max: 1, onnotice: () => {} })
  try {
    await holder.unsafe(`begin; lock table ${table} in access exclusive mode`)
    await delay(ms)
    await holder.unsafe('commit')
  } finally {
    await holder.end({ timeout: 1 })
  }
  return `${table} for ${ms} ms`
}
