import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Caller, type JobView } from '../../load/caller.ts'
import type { Member } from '../../stage/crew.ts'
import { naughtyPrograms } from '../../stage/naughty/programs.ts'
import { machineNow, readCalls, type Call } from '../../stage/naughty/witness.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { heldBy, runningJobs } from './record.ts'

const leaseMs = 10_000
const jobs = 20
/** Shorter than two leases, and long enough for a run that begins after one lease to outlast them. */
const sleepMs = 14_000
/** Time from which on a process that stands still must be gone, in milliseconds. */
const watchdogMs = 3 * leaseMs + 3_000
const longestOverlapMs = 3 * leaseMs

export const blocked: readonly Trial[] = [
  {
    row: 20,
    name: 'event loops are blocked for two leases, and for longer than the watchdog allows',
    run: async (context) => {
      const env = { LOG_LEVEL: 'info' }
      const stage = await context.stage({ apis: 1, workers: 2, programs: naughtyPrograms, env })
      const [slow, stuck] = stage.workers
      if (!slow || !stuck) throw new Error('There are no workers to block')
      const caller = new Caller(() => stage.api(context.random))
      const input = { does: 'sleep', ms: sleepMs, heedsSignal: false }
      const ids = await caller.submitAll(Array.from({ length: jobs }, () => ({ type: 'naughty', input })))
      await runningJobs(stage, jobs)
      const [heldBySlow, heldByStuck] = [await heldBy(stage, slow), await heldBy(stage, stuck)]
      const other = stage.enlist('workers')
      await other.start()

      context.injected('event loop blocked for two leases', `with ${heldBySlow.length} jobs`)
      slow.block(2 * leaseMs)
      context.injected('event loop blocked for good', `with ${heldByStuck.length} jobs`)
      const stuckEndedAt = await expectToBeEnded(context, stuck)
      const views = await caller.ended(ids, 30_000)
      for (const job of views) judgeTakenOver(context, job, other)
      const calls = await readCalls(stage.folder)
      for (const id of ids)
        judgeOverlap(
          context,
          calls.filter(({ jobId }) => jobId === id),
          stuckEndedAt,
        )
      await expectFenced(context, stage, slow, heldBySlow.length)
      await context.endWell(stage)
    },
  },
]

/** @returns when the process ended, on the clock of {@link machineNow}. */
async function expectToBeEnded(context: TrialContext, worker: Member): Promise<number> {
  const { pid } = worker
  worker.block(10 * leaseMs)
  const blockedAt = machineNow()
  await until('a process that stands still is ended', () => worker.pid !== pid, watchdogMs)
  const endedAt = machineNow()
  context.recovered('a process that stands still is ended', endedAt - blockedAt)
  return endedAt
}

function judgeTakenOver(context: TrialContext, job: JobView, other: Member): void {
  const went = job.attempts.map(({ outcome }) => outcome).join(', ')
  const { pid } = (job.output ?? {}) as { pid?: number }
  context.expect(went === 'crashed, completed', 'I6', `A job of a blocked process went ${went} (job ${job.id})`)
  context.expect(pid === other.pid, 'I3', `Its output is that of process ${pid}, not of ${other.pid} (job ${job.id})`)
}

function judgeOverlap(context: TrialContext, calls: readonly Call[], stuckEndedAt: number): void {
  const [first, second, ...more] = calls
  context.expect(more.length === 0, 'I7', `A job was run ${calls.length} times (job ${first?.jobId})`)
  if (!first || !second) return
  const overlapMs = (first.endedAt ?? stuckEndedAt) - second.beganAt
  context.recovered('two runs of one job overlapped', Math.max(overlapMs, 0))
  context.expect(overlapMs <= longestOverlapMs, 'I7', `Two runs overlapped for ${overlapMs} ms (job ${first.jobId})`)
}

/** The process that came back has tried to settle, and the record did not let it. */
async function expectFenced(context: TrialContext, stage: Stage, worker: Member, held: number): Promise<void> {
  const log = await readFile(join(stage.folder, `${worker.name}.log`), 'utf8')
  const fenced = log.split('\n').filter((line) => line.includes('"status":"fenced"')).length
  context.figures['late outcomes that were fenced'] = fenced
  context.expect(fenced === held, 'I3', `Of ${held} late outcomes, ${fenced} were fenced`)
}
