import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { addEndpoint } from '../testing/endpoints.ts'
import { startPlatform, type Platform } from '../testing/platform.ts'
import { startReceiver } from '../testing/receiver.ts'

const jobs = 1_000

/** Statements sent to the platform's database since the extension was made, by text, most frequent first. */
async function statementsOf({ db }: Platform): Promise<{ calls: number; query: string }[]> {
  return db.sql<{ calls: number; query: string }[]>`
    select calls::int as calls, left(regexp_replace(query, '\\s+', ' ', 'g'), 100) as query
    from pg_stat_statements(true) as statement
    where dbid = (select oid from pg_database where datname = current_database()) and query not like '%of_this_test%'
    order by calls desc`
}

async function allEnded({ db }: Platform): Promise<void> {
  for (;;) {
    const [of] = await db.sql`select count(*)::int as ended, 'of_this_test' from jobs where finished_at is not null`
    if (of?.ended === jobs) return
  }
}

/** Round trips to Redis for tickets: a script is one, whatever it does inside. */
async function commandsOf(url: string): Promise<number> {
  const redis = new Redis(url)
  const stats = await redis.info('commandstats')
  redis.disconnect()
  return [...stats.matchAll(/cmdstat_(?:evalsha|eval|bzpopmin):calls=(\d+)/g)].reduce(
    (total, [, calls]) => total + Number(calls),
    0,
  )
}

const sum = (rows: readonly { calls: number }[]) => rows.reduce((total, { calls }) => total + calls, 0)

it('A thousand jobs that arrive together cost few statements and few commands of Redis', async () => {
  const platform = await startPlatform('redis', { workers: 0 })
  const { url } = platform.redis!
  try {
    await platform.db.sql`create extension pg_stat_statements`
    const before = { statements: sum(await statementsOf(platform)), commands: await commandsOf(url) }
    const batch = Array.from({ length: jobs }, (_, value) => ({ type: 'echo', input: { value } }))
    const { body } = await platform.call('POST', '/v1/jobs/batch', { jobs: batch })
    await platform.startWorkers({ concurrency: 500 })
    expect(body.items).toHaveLength(jobs)
    await allEnded(platform)
    const statements = await statementsOf(platform)
    expect(await commandsOf(url)).toBeLessThan(before.commands + 200)
    expect(sum(statements)).toBeLessThan(before.statements + 120)
  } finally {
    await platform.stop()
  }
})

it(
  'No statement is sent for each delivery alone but its claim and its settlement, and few commands of Redis',
  { timeout: 60_000 },
  async () => {
    const receiver = await startReceiver()
    const platform = await startPlatform('redis', { workers: 0, outboundAllow: receiver.host })
    const { db, redis } = platform
    try {
      const batch = Array.from({ length: jobs }, (_, value) => ({ type: 'echo', input: { value } }))
      await platform.call('POST', '/v1/jobs/batch', { jobs: batch })
      const first = await platform.startWorkers({ concurrency: 500 })
      await allEnded(platform)
      await first.stop(5_000)
      await addEndpoint(db.sql, { url: receiver.url, maxInFlight: 50 })
      await db.sql`update endpoints set cursor = 0`
      await db.sql`create extension pg_stat_statements`
      const before = { statements: await statementsOf(platform), commands: await commandsOf(redis!.url) }
      await platform.startWorkers()
      await expect.poll(() => receiver.received.length, { timeout: 30_000 }).toBe(jobs)
      const statements = await statementsOf(platform)
      expect(await commandsOf(redis!.url)).toBeLessThan(before.commands + 4 * jobs)
      expect(sum(statements)).toBeLessThan(sum(before.statements) + 2 * jobs)
      const often = statements.filter(({ calls }) => calls > jobs / 2)
      expect(often.filter(({ query }) => !/^with (me|changed) as /.test(query))).toEqual([])
    } finally {
      await platform.stop()
    }
  },
)
