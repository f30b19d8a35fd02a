import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { insertJobs, type NewJob } from '@jobyard/db/intake'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openProcessPlatform, type ProcessPlatform } from '../testing/processes.ts'
import { newJob, openRecord, type TestRecord } from '../testing/record.ts'
import { Quarantine } from './quarantine.ts'

const log = pino({ level: 'silent' })
let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())

describe('The quarantine', () => {
  const opened: ChildProcess[] = []
  const program = (lines: string) => () => {
    const child = spawn(process.execPath, ['--eval', lines], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    opened.push(child)
    return child
  }
  const works = `process.once('SIGTERM', () => process.exit(0)); setInterval(() => {}, 60_000); process.send({ working: true })`
  const quarantine = (lines: string) =>
    new Quarantine({ sql: record.sql, queues: ['default'], open: program(lines), log })
  afterAll(() => opened.forEach((child) => child.kill('SIGKILL')))

  it('is opened when there is a suspect, once, and again when a job has killed it', async () => {
    const each = quarantine(works)
    await each.runOnce()
    expect(opened).toHaveLength(0)
    await record.suspect(await record.addJob())
    await each.runOnce()
    const [first] = opened.splice(0)
    await once(first!, 'message')
    await each.runOnce()
    expect(opened).toHaveLength(0)
    first!.kill('SIGKILL')
    await once(first!, 'exit')
    await each.runOnce()
    const [second] = opened.splice(0)
    await once(second!, 'message')
    await each.stop()
    expect(second!.exitCode).toBe(0)
    await each.runOnce()
    expect(opened).toHaveLength(0)
  })

  it('rests when its process died before it worked', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const each = quarantine('process.exit(1)')
    await each.runOnce()
    const [first] = opened.splice(0)
    await once(first!, 'exit')
    await each.runOnce()
    expect(opened).toHaveLength(0)
    vi.advanceTimersByTime(30_000)
    await each.runOnce()
    expect(opened).toHaveLength(1)
    await each.stop()
    vi.useRealTimers()
  })
})

it('A job that was only a neighbour when its process crashed completes, whatever poison there is, and the poison fails', async () => {
  const platform = await openProcessPlatform('postgres')
  try {
    const hazard = (lastsMs: number, kills: boolean): NewJob =>
      newJob({ type: 'hazard', queue: 'hazard', timeoutMs: 60_000, input: JSON.stringify({ lastsMs, kills }) })
    const innocents = [hazard(2_000, false), hazard(2_000, false)]
    const neighbours = [hazard(1, false), hazard(1_000, false), hazard(1_500, false)]
    const poison = [hazard(500, true), hazard(500, true)]
    await ensureQueues(platform.db.sql, ['hazard'])
    await insertJobs(platform.db.sql, innocents)
    await platform.db.sql`update arrivals set suspect = true`
    await platform.db.sql`update jobs set crashes = 2`
    await insertJobs(platform.db.sql, [...neighbours, ...poison])
    await platform.db.sql`update arrivals set ticketed_at = ticketed_at - interval '1 minute'`
    await platform.db.sql`update jobs set ticketed_at = ticketed_at - interval '1 minute'`
    const worker = await workUntilAllEnded(platform)
    expect(await worker.stop()).toBe(0)
    expect(await platform.db.sql`select from workers`).toHaveLength(0)
    const outcome = async (jobs: readonly NewJob[]) =>
      platform.db
        .sql`select distinct status, error->>'reason' as reason from jobs where id = any(${jobs.map(({ id }) => id)}::uuid[])`
    expect(await outcome([...innocents, ...neighbours])).toEqual([{ status: 'completed', reason: null }])
    expect(await outcome(poison)).toEqual([{ status: 'failed', reason: 'crash_loop' }])
  } finally {
    await platform.stop()
  }
}, 90_000)

/** Starts a worker process, and another one whenever it dies. Buries the dead at once, which otherwise takes a lease. */
async function workUntilAllEnded(platform: ProcessPlatform) {
  const { sql } = platform.db
  const startWorker = () => platform.start('workers', {}, 'hazardous-workers.ts')
  let worker = await startWorker()
  for (;;) {
    if (worker.process.signalCode) worker = await startWorker()
    for (const { id, pid } of await sql<{ id: string; pid: number }[]>`select id, pid from workers`) {
      if (!isAlive(pid)) await sql`delete from workers where id = ${id}`
    }
    const unfinished = await sql`select from jobs where finished_at is null`
    if (unfinished.length === 0) return worker
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
