import { headers } from '../accept/contestants.ts'
import type { Place } from '../accept/rivals.ts'
import { startService } from '../accept/service.ts'
import { runChild } from '../child.ts'
import { percentile } from '../statistics.ts'
import type { Contestant } from './contestants.ts'
import type { ClosedLoop, ClosedLoopReport, OpenLoop, OpenLoopReport } from './load-process.ts'
import type { Instants } from './timeline.ts'
import type { InstantsQuestion, WorkerReport, WorkerTask } from './worker-process.ts'

/** Time that each step of a measurement takes, in milliseconds. */
export interface Times {
  readonly warmUpMs: number
  readonly measuredMs: number
}

/** What one level of load gave, in milliseconds but for the first. */
export interface Latencies {
  readonly perSecond: number
  /** From the moment a request was due to the first line of the handler, by percentile. */
  readonly begun: Percentiles
  /** From the same moment until the result was recorded. */
  readonly settled: Percentiles
  /** How late the load was sent itself, at the 99th percentile. */
  readonly lagMs: number
}

export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** One contestant's processes: one that takes requests, one that works. The load comes from a third. */
export interface Chain {
  /** @returns jobs per second that are both accepted and done, with as many as it keeps up with. */
  measureCapacity(times: Times): Promise<number>
  measureLatency(perSecond: number, times: Times): Promise<Latencies>
  /** Ids of the processes. */
  readonly pids: { readonly intake: number; readonly worker: number }
  stop(): Promise<void>
}

const workerProcess = new URL('worker-process.ts', import.meta.url)
const loadProcess = new URL('load-process.ts', import.meta.url)
/** Time that jobs may take to be done once all are accepted, and the load may take longer than planned, in milliseconds. */
const patienceMs = 60_000

/** Starts a contestant's processes on servers that were wiped. */
export async function startChain(contestant: Contestant, place: Place): Promise<Chain> {
  const intake = await contestant.startIntake(place)
  const task: WorkerTask = { contestant: contestant.name, place }
  const worker = await startService<WorkerReport>(workerProcess, { task })
  const to = { url: intake.report.listening, headers }

  /** Sends a load and returns what came of it, once all of it is done. */
  const send = async <Report>(load: ClosedLoop | OpenLoop, jobsOf: (report: Report) => number) => {
    const report = await runChild<Report>(loadProcess, load, patienceMs)
    const jobs = jobsOf(report)
    const question: InstantsQuestion = { jobs, timeoutMs: patienceMs }
    const instants = await worker.ask<Instants>(question)
    if (instants.count !== jobs) throw new Error(`${jobs} jobs were accepted, and ${instants.count} were done`)
    return { report, instants }
  }
  return {
    measureCapacity: async ({ warmUpMs, measuredMs }) => {
      const load: ClosedLoop = { kind: 'closed', to, ...worker.report, warmUpMs, measuredMs }
      const { report, instants } = await send<ClosedLoopReport>(load, ({ jobs }) => jobs)
      const { from, until, acceptedMeanwhile } = report
      const doneMeanwhile = instants.settled.filter((at) => at >= from && at < until).length
      return (Math.min(acceptedMeanwhile, doneMeanwhile) * 1_000) / (until - from)
    },
    measureLatency: async (perSecond, { warmUpMs, measuredMs }) => {
      const warmUpJobs = Math.round((perSecond * warmUpMs) / 1_000)
      const jobs = warmUpJobs + Math.round((perSecond * measuredMs) / 1_000)
      const load: OpenLoop = { kind: 'open', to, jobs, warmUpJobs, perSecond }
      const { report, instants } = await send<OpenLoopReport>(load, () => jobs)
      const since = (moments: readonly number[]) =>
        moments.map((at, job) => at - report.startedAt - (job * 1_000) / perSecond).slice(warmUpJobs)
      return {
        perSecond,
        begun: summarize(since(instants.begun)),
        settled: summarize(since(instants.settled)),
        lagMs: report.lagMs,
      }
    },
    pids: { intake: intake.pid, worker: worker.pid },
    stop: async () => {
      await Promise.all([worker.stop(), intake.stop()])
    },
  }
}

function summarize(values: readonly number[]): Percentiles {
  return { p50: percentile(values, 50), p99: percentile(values, 99), p999: percentile(values, 99.9) }
}
