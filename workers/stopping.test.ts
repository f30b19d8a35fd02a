import { claimJobs } from '@jobyard/db/claim'
import { insertJobs } from '@jobyard/db/intake'
import { openCarrier } from '@jobyard/queues/carrier'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import { startPlatform } from '../testing/platform.ts'
import { newJob, openRecord } from '../testing/record.ts'
import { startTcpProxy } from '../testing/tcp-proxy.ts'
import { script, scriptedHandler, steps } from '../testing/scripted-handler.ts'
import { startWorkers } from './supervisor.ts'

/** What `queues/process.ts` allows for beyond the grace, in milliseconds. */
const allowedMs = 15_000

it('Workers stop in time though neither Postgres nor the carrier answers', async () => {
  const record = await openRecord()
  const network = await startTcpProxy(record.url)
  const day = 86_400_000
  const workers = await startWorkers({
    databaseUrl: network.url,
    carrier: openCarrier({ databaseUrl: network.url, onError: () => {} }),
    handlers: [scriptedHandler],
    concurrency: 1,
    retention: { completedMs: day, failedMs: day, eventsMs: day, auditMs: day },
    log: pino({ level: 'silent' }),
  })
  network.freeze()
  const begun = performance.now()
  await workers.stop(0)
  expect(performance.now() - begun).toBeLessThan(allowedMs - 500)
  network.close()
  await record.close()
})

it('A claim that lands while its worker leaves costs its job no crash', async () => {
  const platform = await startPlatform('postgres', { handlers: [scriptedHandler] })
  const { sql } = platform.db
  const job = newJob({ type: 'scripted', queue: 'scripted' })
  await insertJobs(sql, [job])
  const [worker] = await sql<{ id: string }[]>`select id from workers`
  const stopped = await platform.db.transactions.run(async (late) => {
    await claimJobs(late, worker!.id, [job.id])
    const stopping = platform.workers[0]!.stop(0)
    for (let blocked = false; !blocked;) {
      const waiting =
        await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%delete from workers%'`
      blocked = waiting.length > 0
    }
    return { stopping }
  })
  await stopped.stopping
  const [after] = await sql`select status, crashes from jobs where id = ${job.id}`
  expect(after).toEqual({ status: 'queued', crashes: 0 })
  await platform.stop()
})

it('Workers that wait for their last jobs leave it to others to give events their places', async () => {
  const platform = await startPlatform('postgres', { handlers: [scriptedHandler] })
  const { sql } = platform.db
  const leader = async () => {
    const [row] = await sql<{ pid: number }[]>`
      select pid from pg_locks where locktype = 'advisory' and objsubid = 2 and granted
        and database = (select oid from pg_database where datname = current_database())`
    return row?.pid
  }
  await expect.poll(leader).toBeDefined()
  const before = await leader()
  const gate = script('the last', steps.untilOpened)
  await platform.call('POST', '/v1/jobs', { type: 'scripted', input: { script: 'the last' } })
  await gate.runs(1)
  await platform.startWorkers()
  const stopping = platform.workers[0]!.stop(30_000)
  await expect.poll(async () => [undefined, before].includes(await leader()), { timeout: 5_000 }).toBe(false)
  gate.open()
  await stopping
  await platform.stop()
})
