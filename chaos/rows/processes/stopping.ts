import { setTimeout as delay } from 'node:timers/promises'
import { Caller, type JobView } from '../../load/caller.ts'
import { slowWish } from '../../load/wishes.ts'
import { naughtyPrograms } from '../../stage/naughty/programs.ts'
import type { Member, Role } from '../../stage/crew.ts'
import type { Stage } from '../../stage/stage.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { runningJobs, workerIdOf } from './record.ts'

const runningTogether = 100
const graceMs = 1_500
/** Beyond the grace, or after a second signal, in milliseconds: what an orchestrator's 30 s leave of our 25 s. */
const handBackWithinMs = 5_000
/** Within which a job that was handed back must run elsewhere, in milliseconds. */
const restartWithinMs = 1_000
/** Longest time in which a process starts, in milliseconds. */
const startUpMs = 1_500
const starts = 8
const killings = 4

export const stopping: readonly Trial[] = [
  {
    row: 25,
    name: 'a worker is asked to stop while it runs 100 jobs, and half of them ignore their signal',
    run: async (context) => {
      const stage = await context.stage({ apis: 1, workers: 0, programs: naughtyPrograms })
      const caller = new Caller(() => stage.api(context.random))
      const leaving = stage.enlist('workers', { WORKER_CONCURRENCY: '100', SHUTDOWN_GRACE_MS: String(graceMs) })
      await leaving.start()
      const ids = await caller.submitAll(sleepers(8_000))
      await runningJobs(stage, runningTogether)
      await stage.enlist('workers', { WORKER_CONCURRENCY: '100' }).start()
      context.injected('worker asked to stop', `with ${runningTogether} jobs`)
      await expectToLeave(context, stage, leaving, graceMs)
      for (const job of await caller.ended(ids, 30_000)) judgeHandedBack(context, job)
      await context.endWell(stage)
    },
  },
  {
    row: 26,
    name: 'a worker is asked to stop twice',
    run: async (context) => {
      const stage = await context.stage({ apis: 1, workers: 0, programs: naughtyPrograms })
      const caller = new Caller(() => stage.api(context.random))
      const leaving = stage.enlist('workers', { WORKER_CONCURRENCY: '100' })
      await leaving.start()
      const ids = await caller.submitAll(sleepers(6_000))
      await runningJobs(stage, runningTogether)
      await stage.enlist('workers', { WORKER_CONCURRENCY: '100' }).start()
      context.injected('worker asked to stop twice', `with ${runningTogether} jobs`)
      const left = expectToLeave(context, stage, leaving, 0)
      await delay(context.random.int(1, 300))
      leaving.signal('SIGTERM')
      await left
      for (const job of await caller.ended(ids, 30_000)) judgeHandedBack(context, job)
      await context.endWell(stage)
    },
  },
  {
    row: 26,
    name: 'processes are asked to stop while they start',
    run: async (context) => {
      const stage = await context.stage({ apis: 1, workers: 1 })
      const client = context.client(stage, { jobsPerSecond: 100 })
      client.start()
      for (let count = 0; count < starts; count++) await stopEarly(context, stage, count % 2 === 0 ? 'workers' : 'api')
      await context.endWell(stage)
    },
  },
  {
    row: 26,
    name: 'a worker is killed with −9 while it hands back',
    run: async (context) => {
      const stage = await context.stage({ apis: 1 })
      const client = context.client(stage, { wish: slowWish(1_500), jobsPerSecond: 40, cancelPercent: 0 })
      client.start()
      for (let count = 0; count < killings; count++) {
        await context.ledger.accepts(80)
        const worker = stage.workers[count % 2]
        if (worker) await killWhileHandingBack(context, worker)
      }
      await context.endWell(stage)
    },
  },
]

/** As many as run together; every other one ignores its signal. */
function sleepers(ms: number) {
  return Array.from({ length: runningTogether }, (_, index) => ({
    type: 'naughty',
    input: { does: 'sleep', ms, heedsSignal: index % 2 === 0 },
  }))
}

async function expectToLeave(context: TrialContext, stage: Stage, worker: Member, waitsMs: number): Promise<void> {
  const workerId = await workerIdOf(stage, worker)
  const askedAt = performance.now()
  const code = await worker.retire('SIGTERM')
  const tookMs = performance.now() - askedAt
  context.recovered('a worker has left', tookMs)
  context.expect(code === 0, 'I9', `A worker that was asked to stop ended with ${code}`)
  context.expect(tookMs <= waitsMs + handBackWithinMs, 'I9', `A worker that was asked to stop took ${tookMs} ms`)
  const [left] = await stage.db.sql<{ owned: number; known: number }[]>`
    select (select count(*)::int from jobs where status = 'running' and worker_id = ${workerId ?? null}) as owned,
      (select count(*)::int from workers where id = ${workerId ?? null}) as known`
  context.expect(left?.owned === 0, 'I9', `A worker that has left owns ${left?.owned} jobs`)
  context.expect(left?.known === 0, 'I9', 'A worker that has left is in the record still')
}

function judgeHandedBack(context: TrialContext, job: JobView): void {
  const went = job.attempts.map(({ outcome }) => outcome).join(', ')
  context.expect(went === 'handed_back, completed', 'I6', `A job that was handed back went ${went} (job ${job.id})`)
  context.expect(job.attemptsMade === 1, 'I6', `A hand-back cost attempts: ${job.attemptsMade} (job ${job.id})`)
  const restartMs = Date.parse(job.startedAt ?? '') - Date.parse(job.attempts[0]?.finishedAt ?? '')
  context.recovered('a job that was handed back runs again', restartMs)
  context.expect(restartMs <= restartWithinMs, 'row 25', `It ran again only after ${restartMs} ms (job ${job.id})`)
}

/** A signal that comes before a process has begun to listen ends it as well, by itself. */
async function stopEarly(context: TrialContext, stage: Stage, role: Role): Promise<void> {
  const member = stage.enlist(role)
  void member.start()
  await delay(context.random.int(0, startUpMs))
  context.injected('process asked to stop while it starts', member.name)
  const code = await member.retire('SIGTERM')
  context.expect(code === 0 || code === null, 'I9', `${member.name}, asked to stop at its start, ended with ${code}`)
}

async function killWhileHandingBack(context: TrialContext, worker: Member): Promise<void> {
  context.injected('worker killed while it hands back', worker.name)
  const ended = worker.end('SIGTERM')
  await delay(50)
  worker.signal('SIGTERM')
  await delay(context.random.int(0, 800))
  worker.signal('SIGKILL')
  await ended
  await worker.working()
}
