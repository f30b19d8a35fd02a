import { newId } from '@jobyard/db/ids'
import { claimJobs } from '@jobyard/db/claim'
import { cancelJob } from '@jobyard/db/cancel'
import { connect } from '@jobyard/db/connect'
import { setPaused } from '@jobyard/db/queue-rows'
import { settleAttempts } from '@jobyard/db/settle'
import { deleteWorker, readBeats } from '@jobyard/db/worker-rows'
import { openCarrier, type Carrier } from '@jobyard/queues/carrier'
import { DeadlineError } from '@jobyard/queues/deadline'
import { TicketSender } from '@jobyard/queues/tickets'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { startTcpProxy } from '../testing/tcp-proxy.ts'
import { Claims } from './claims.ts'
import { Heartbeat } from './heartbeat.ts'
import { Ownership, type Run } from './ownership.ts'
import { OwnershipCheck } from './ownership-check.ts'
import { ProbeJudge } from './probe-judge.ts'
import { Reconciler } from './reconciler.ts'
import { Suspects } from './suspects.ts'
import { Ticker } from './ticker.ts'

const log = pino({ level: 'silent' })
const queues = ['default']
const leaseMs = 200
let record: TestRecord
let carrier: Carrier
let tickets: TicketSender
beforeAll(async () => {
  record = await openRecord()
  carrier = openCarrier({ databaseUrl: record.url, onError: () => {} })
  tickets = new TicketSender(carrier, { contracts: [], onLost: () => {} })
})
beforeEach(() => record.sql`truncate arrivals, workers, jobs, claims, endings`)
afterAll(async () => {
  await carrier.close()
  await record.close()
})

/** A worker process's memory, entered in the record. */
async function process(sql = record.sql) {
  const ownership = new Ownership()
  const describe = { host: 'test', pid: 1, queues, concurrency: 1 }
  const heartbeat = new Heartbeat({ sql, ownership, describe, leaseMs, log })
  const check = new OwnershipCheck({ sql, ownership, tickets, answerWithinMs: leaseMs / 2, log })
  await heartbeat.register()
  return { ownership, heartbeat, check, claims: new Claims(sql, ownership, log) }
}
const ticketsSent = async () =>
  (await record.sql<{ ids: string[] }[]>`select data->'ids' as ids from bullmq.job where data ? 'ids'`).flatMap(
    ({ ids }) => ids,
  )

describe('The heartbeat', () => {
  it('keeps the process alive in the record', async () => {
    const { ownership, heartbeat } = await process()
    await heartbeat.runOnce()
    expect(await readBeats(record.sql)).toEqual([{ id: ownership.workerId, beat: '1' }])
  })

  it('starts over under a new id when the process was declared dead, and aborts what ran', async () => {
    const { ownership, heartbeat, claims } = await process()
    const before = ownership.workerId
    const [run] = await claims.claim([await record.addJob()])
    await deleteWorker(record.sql, before)
    await heartbeat.runOnce()
    expect(run?.abortCause).toBe('lost')
    expect(ownership.size).toBe(0)
    expect(ownership.workerId).not.toBe(before)
    expect((await readBeats(record.sql)).map(({ id }) => id)).toEqual([ownership.workerId])
  })

  it('aborts what runs when Postgres has not answered for three leases, however silent it is', async () => {
    const network = await startTcpProxy(record.url)
    const db = connect(network.url, { applicationName: 'cut off' })
    const { ownership, heartbeat, claims } = await process(db.sql)
    const [run] = await claims.claim([await record.addJob()])
    network.freeze()
    while (!run?.abortCause) await heartbeat.runOnce().catch(() => {})
    expect(run.abortCause).toBe('lost')
    expect(ownership.size).toBe(0)
    network.close()
    await db.close()
  })

  it('beats on while the ownership check waits for a row', async () => {
    const { ownership, heartbeat, check } = await process()
    const id = await record.addJob()
    await claimJobs(record.sql, ownership.workerId, [id])
    await record.db.transactions.run(async (sql) => {
      await sql`select from jobs where id = ${id} for update`
      const checked = check.runOnce().catch((error: unknown) => error)
      await heartbeat.runOnce()
      expect(await readBeats(record.sql)).toEqual([{ id: ownership.workerId, beat: '1' }])
      expect(await checked).toBeInstanceOf(DeadlineError)
    })
  })

  it('waits for no answer longer than half a lease, be it the entry of a new worker', async () => {
    const { ownership, heartbeat } = await process()
    await deleteWorker(record.sql, ownership.workerId)
    await record.sql.unsafe(`
      create function dawdle() returns trigger language plpgsql as $$ begin perform pg_sleep(${(leaseMs * 2) / 1_000}); return new; end $$;
      create trigger dawdle before insert on workers for each row execute function dawdle()`)
    await expect(heartbeat.runOnce()).rejects.toThrow(DeadlineError)
    await record.sql.unsafe('drop function dawdle cascade')
    await heartbeat.runOnce()
    expect((await readBeats(record.sql)).map(({ id }) => id)).toEqual([ownership.workerId])
  })
})

describe('The ownership check', () => {
  it('deletes claims of which no job runs any more, and no others', async () => {
    const { ownership, check, claims } = await process()
    const [ended, running] = [await record.addJob(), await record.addJob()]
    await claims.claim([ended])
    await claims.claim([running])
    await settleAttempts(record.sql, [{ id: ended, epoch: 1, outcome: 'completed', status: 'completed', output: '1' }])
    await check.runOnce()
    expect(await record.sql`select worker_id, job_ids from claims`).toEqual([
      { workerId: ownership.workerId, jobIds: [running] },
    ])
  })

  it('gives back claims whose answer was lost, with a new ticket', async () => {
    const { ownership, check } = await process()
    const id = await record.addJob()
    await claimJobs(record.sql, ownership.workerId, [id])
    await check.runOnce()
    expect(await record.job(id)).toMatchObject({ status: 'queued', crashes: 0, attemptsMade: 0 })
    expect(await ticketsSent()).toContain(id)
  })

  it('leaves claims alone that are known, or whose answer is still awaited', async () => {
    const { ownership, check, claims } = await process()
    const [known, awaited] = [await record.addJob(), await record.addJob()]
    await claims.claim([known])
    const answered = ownership.awaitClaim([awaited])
    await claimJobs(record.sql, ownership.workerId, [awaited])
    await check.runOnce()
    expect([(await record.job(known)).status, (await record.job(awaited)).status]).toEqual(['running', 'running'])
    answered()
    await check.runOnce()
    expect([(await record.job(known)).status, (await record.job(awaited)).status]).toEqual(['running', 'queued'])
  })

  it('aborts runs that somebody asked to cancel', async () => {
    const { check, claims } = await process()
    const id = await record.addJob()
    const [run] = await claims.claim([id])
    await cancelJob(record.sql, 'default', id)
    await check.runOnce()
    expect(run?.abortCause).toBe('cancelled')
  })
})

describe('A claim', () => {
  it('is repeated under the new id when the process was declared dead meanwhile', async () => {
    const { ownership, heartbeat, claims } = await process()
    const id = await record.addJob()
    await deleteWorker(record.sql, ownership.workerId)
    const claim = claims.claim([id])
    await heartbeat.runOnce()
    expect((await claim).map(({ job, workerId }) => [job.id, workerId])).toEqual([[id, ownership.workerId]])
    expect(claims.open).toBe(true)
  })

  it('gives a job that two tickets name to one of them', async () => {
    const { claims } = await process()
    const id = await record.addJob()
    const runs = await Promise.all([claims.claim([id]), claims.claim([id])])
    expect(runs.flat()).toHaveLength(1)
  })

  it('takes the others where Postgres cannot claim one of them', async () => {
    const { claims } = await process()
    const ids = [await record.addJob(), await record.addJob(), await record.addJob()]
    await record.sql.unsafe(`
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = '22003'; end $$;
      create trigger refuse before update on jobs for each row when (old.id = '${ids[1]}') execute function refuse()`)
    expect((await claims.claim(ids)).map(({ job }) => job.id)).toEqual([ids[0], ids[2]])
    expect(claims.open).toBe(true)
    await record.sql.unsafe('drop function refuse cascade')
  })

  it('takes the others where somebody keeps one of them locked, which loses nothing but its ticket', async () => {
    const db = connect(record.url, { applicationName: 'impatient', statementTimeoutMs: 200 })
    const { claims } = await process(db.sql)
    const ids = [await record.addJob(), await record.addJob(), await record.addJob()]
    for (const id of ids) await record.ageTicket(id, 60)
    await record.db.transactions.run(async (sql) => {
      await sql`select from jobs where id = ${ids[1]!} for update`
      expect((await claims.claim(ids)).map(({ job }) => job.id)).toEqual([ids[0], ids[2]])
      expect(await claims.claim([ids[1]!])).toEqual([])
      expect(claims.open).toBe(true)
    })
    const [now] = await record.sql<{ stamp: string }[]>`select statement_timestamp()::text as stamp`
    const target = { queue: 'default', priority: 0, stamp: now!.stamp }
    expect(await new ProbeJudge(record.sql, tickets, log).judge(target)).toBe(1)
    expect(await ticketsSent()).toContain(ids[1])
    await db.close()
  })

  it('under an id that was given up since is ignored', async () => {
    const { ownership } = await process()
    const id = await record.addJob()
    const old = ownership.workerId
    const { jobs } = await claimJobs(record.sql, old, [id])
    ownership.renew()
    expect(ownership.adopt(jobs, old)).toEqual([])
  })
})

describe('The reconciler', () => {
  let clock = 0
  const reconciler = () => new Reconciler({ sql: record.sql, carrier, tickets, queues, leaseMs, now: () => clock, log })

  it('declares dead who gave no sign of life for a lease, and nobody else', async () => {
    const [dead, alive] = [await process(), await process()]
    const each = reconciler()
    for (const expected of [[], [], [dead.ownership.workerId], []]) {
      expect(await each.reap()).toEqual(expected)
      await alive.heartbeat.runOnce()
      clock += leaseMs / 2
    }
    expect((await readBeats(record.sql)).map(({ id }) => id)).toEqual([alive.ownership.workerId])
  })

  it('kills nobody when its own looks were interrupted', async () => {
    await process()
    const each = reconciler()
    for (let look = 0; look < 4; look++) {
      expect(await each.reap()).toEqual([])
      clock += leaseMs * 2
    }
  })

  it('requeues the jobs of the dead, with tickets', async () => {
    const { ownership, claims } = await process()
    const id = await record.addJob()
    await claims.claim([id])
    await deleteWorker(record.sql, ownership.workerId)
    expect(await reconciler().requeueOrphans()).toBe(1)
    expect(await record.job(id)).toMatchObject({ status: 'queued', crashes: 1 })
    expect(await ticketsSent()).toContain(id)
  })

  it('probes where jobs wait for long, and what the probe proves lost gets new tickets', async () => {
    const id = await record.addJob()
    expect(await reconciler().probe()).toBe(0)
    await record.ageTicket(id, 60)
    expect(await reconciler().probe()).toBe(1)
    const [probe] = await record.sql<
      { data: { probe: string; priority: number } }[]
    >`select data from bullmq.job where id like 'probe-0-%'`
    const judge = new ProbeJudge(record.sql, tickets, log)
    const target = { queue: 'default', priority: 0, stamp: probe!.data.probe }
    expect(await judge.judge(target)).toBe(1)
    expect(await ticketsSent()).toContain(id)
    expect(await judge.judge(target)).toBe(0)
  })

  it('deletes arrivals of which no job waits any more, and no others', async () => {
    const { claims } = await process()
    const [claimed, waiting] = [await record.addJob(), await record.addJob()]
    await record.sql`update arrivals set ticketed_at = ticketed_at - interval '1 minute'`
    await record.sql`update jobs set ticketed_at = ticketed_at - interval '1 minute'`
    await claims.claim([claimed])
    await reconciler().collectArrivals()
    expect(await record.sql`select job_ids from arrivals`).toEqual([{ jobIds: [waiting] }])
  })

  it('restores pauses that the carrier has lost, and lifts those it has kept', async () => {
    await setPaused(record.sql, 'default', true)
    expect(await reconciler().mirrorPauses()).toEqual(['default'])
    expect(await carrier.isPaused('default')).toBe(true)
    expect(await reconciler().mirrorPauses()).toEqual([])
    await setPaused(record.sql, 'default', false)
    expect(await reconciler().mirrorPauses()).toEqual(['default'])
    expect(await carrier.isPaused('default')).toBe(false)
  })
})

describe('The judge of probes', () => {
  const stamp = async (secondsAgo = 0) => {
    const [row] = await record.sql<{ stamp: string }[]>`
      select (statement_timestamp() - ${secondsAgo} * interval '1 second')::text as stamp`
    return { queue: 'default', priority: 0, stamp: row!.stamp }
  }
  const lost = async (secondsAgo: number) => {
    const id = await record.addJob()
    await record.ageTicket(id, secondsAgo)
    return id
  }

  it('looks again for jobs that were locked when their tickets were found to be lost', async () => {
    const judge = new ProbeJudge(record.sql, tickets, log)
    const id = await lost(600)
    await record.db.transactions.run(async (sql) => {
      await sql`select from jobs where id = ${id} for update`
      expect(await judge.judge(await stamp())).toBe(0)
    })
    expect(await judge.judge(await stamp())).toBe(1)
    expect(await judge.judge(await stamp())).toBe(0)
  })

  it('looks at all jobs when the clock of Postgres was set back', async () => {
    const judge = new ProbeJudge(record.sql, tickets, log)
    await judge.judge(await stamp())
    await lost(7_200)
    expect(await judge.judge(await stamp())).toBe(0)
    expect(await judge.judge(await stamp(3_600))).toBe(1)
  })

  it('gives up a sweep that Postgres does not answer', async () => {
    const judge = new ProbeJudge(record.sql, tickets, log)
    const target = await stamp()
    await record.db.transactions.run(async (sql) => {
      await sql`lock table arrivals`
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      const judged = judge.judge(target).catch((error: unknown) => error)
      vi.advanceTimersByTime(15_000)
      vi.useRealTimers()
      expect(await judged).toBeInstanceOf(DeadlineError)
    })
  })
})

describe('Suspects', () => {
  /** Looks for suspects in a process whose handlers are in the hands of the test. */
  async function suspectsOf(count: number) {
    const { ownership, check } = await process()
    const ids: string[] = []
    for (let job = 0; job < count; job++) ids.push(await record.addJob())
    await Promise.all(ids.map((id) => record.suspect(id)))
    const runs: { run: Run; end: () => void }[] = []
    let begun = Promise.withResolvers<void>()
    const runAttempt = (run: Run) =>
      new Promise<void>((resolve) => {
        runs.push({ run, end: resolve })
        begun.resolve()
        begun = Promise.withResolvers()
      })
    const suspects = new Suspects({ sql: record.sql, ownership, queues, runAttempt, log })
    return { ownership, check, ids, runs, suspects, begun: () => begun.promise }
  }

  it('run one after the other, the next one as soon as the outcome of the last is in the record', async () => {
    const { ownership, ids, runs, suspects, begun } = await suspectsOf(3)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }) // no pause ends
    suspects.start()
    for (let count = 1; count <= ids.length; count++) {
      if (runs.length < count) await begun()
      expect(runs).toHaveLength(count)
      const { run, end } = runs.at(-1)!
      end()
      ownership.forget(run)
    }
    await suspects.stop()
    vi.useRealTimers()
    expect(runs.map(({ run }) => run.job.id).toSorted()).toEqual(ids)
  })

  it.each(['its handler goes on', 'its outcome is on its way to the record'])(
    'keep the next one waiting while %s',
    async (what) => {
      const { ownership, runs, suspects, begun } = await suspectsOf(2)
      let over = false
      const first = suspects.runOnce().then(() => (over = true))
      await begun()
      const { run, end } = runs[0]!
      const steps = [end, () => ownership.forget(run)]
      if (what === 'its handler goes on') steps.reverse()
      steps[0]?.()
      await record.sql`select 1`
      expect(over).toBe(false)
      steps[1]?.()
      await first
    },
  )

  it('that are all done are told of, after a while', async () => {
    const { ownership } = await process()
    const quiet = Promise.withResolvers<void>()
    const [runAttempt, onQuiet] = [async () => {}, quiet.resolve]
    const suspects = new Suspects({ sql: record.sql, ownership, queues, runAttempt, onQuiet, quietMs: 0, log })
    suspects.start()
    await quiet.promise
    await suspects.stop()
    expect(await suspects.runOnce()).toBe(false)
  })

  it('run beside none whose claim was not answered, until that one was given back', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const { ids, runs, suspects, begun } = await suspectsOf(1)
    await record.sql.unsafe(`
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = '57P01'; end $$;
      create trigger refuse before update on jobs for each row execute function refuse()`)
    await expect(suspects.runOnce()).rejects.toThrow('no')
    await record.sql.unsafe('drop function refuse cascade')
    vi.advanceTimersByTime(19_000)
    expect(await suspects.runOnce()).toBe(false)
    vi.advanceTimersByTime(2_000)
    void suspects.runOnce()
    await begun()
    expect(runs.map(({ run }) => run.job.id)).toEqual(ids)
    vi.useRealTimers()
  })
})

it('The ticker sends tickets for what is due', async () => {
  const id = await record.addJob({ delayMs: 60_000 })
  const ticker = new Ticker(record.sql, tickets)
  expect(await ticker.runOnce()).toBe(false)
  expect(await ticketsSent()).not.toContain(id)
  await record.sql`update jobs set due_at = statement_timestamp()`
  await ticker.runOnce()
  expect(await ticketsSent()).toContain(id)
})

it('Ownership knows a run by its claim only', async () => {
  const { ownership, claims } = await process()
  const id = await record.addJob()
  const [run] = await claims.claim([id])
  expect(ownership.find({ id, epoch: 1 })).toBe(run)
  expect(ownership.find({ id, epoch: 2 })).toBeUndefined()
  expect(ownership.find({ id: newId(), epoch: 1 })).toBeUndefined()
  const idle = ownership.idle()
  ownership.forget(run!)
  await idle
})
