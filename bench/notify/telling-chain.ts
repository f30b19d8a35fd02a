import { headers, startJobyardApi, type CarrierKind } from '../accept/contestants.ts'
import { startService } from '../accept/service.ts'
import type { Servers } from '../bench.ts'
import { runChild } from '../child.ts'
import type { Times } from '../latency/chain.ts'
import type { ClosedLoop, ClosedLoopReport, OpenLoop, OpenLoopReport } from '../latency/load-process.ts'
import { expectCount } from '../process/contestant.ts'
import { wipeServers } from '../servers.ts'
import type { Arrivals } from './arrivals.ts'
import type { FollowedStream } from './follower.ts'
import type { ArrivalsQuestion } from './reader-process.ts'
import { startReceiver } from './receiver.ts'
import type { TellingTask } from './telling-worker-process.ts'

/** From the moment a result was settled until it was told, in milliseconds, one for each job. */
export interface Delays {
  readonly perSecond: number
  readonly toReceiver: readonly number[]
  readonly toReader: readonly number[]
  /** How late the load was sent itself, at the 99th percentile. */
  readonly lagMs: number
}

/** The processes of a platform that tells a receiver and the reader of a stream of all jobs. The load comes from one more. */
export interface TellingChain {
  /** @returns jobs per second that are accepted, done and delivered, with as many as it keeps up with. */
  measureCapacity(times: Times): Promise<number>
  measureDelays(perSecond: number, times: Times): Promise<Delays>
  stop(): Promise<void>
}

const workerProcess = new URL('telling-worker-process.ts', import.meta.url)
const readerProcess = new URL('reader-process.ts', import.meta.url)
const loadProcess = new URL('../latency/load-process.ts', import.meta.url)
/** Time that jobs may take to be told once all are accepted, and the load may take longer than planned, in milliseconds. */
const patienceMs = 60_000

/** Starts the processes on servers that are wiped. */
export async function startTellingChain(servers: Servers, carrier: CarrierKind): Promise<TellingChain> {
  const place = { databaseUrl: await wipeServers(servers), redisUrl: servers.redisUrl }
  const api = await startJobyardApi(place, carrier)
  const receiver = await startReceiver(1)
  await receiver.addEndpoints(place.databaseUrl)
  const task: TellingTask = { place, carrier, allow: receiver.allow }
  const worker = await startService(workerProcess, { task })
  const stream: FollowedStream = { url: `${api.report.listening}/v1/events`, headers }
  const reader = await startService(readerProcess, { task: stream })
  const to = { url: api.report.listening, headers }

  /** Sends a load and returns when each of its jobs was settled and told of, by id. */
  const send = async <Report>(load: ClosedLoop | OpenLoop, jobsOf: (report: Report) => number) => {
    const report = await runChild<Report>(loadProcess, load, patienceMs)
    const events = jobsOf(report)
    const question: ArrivalsQuestion = { events, timeoutMs: patienceMs }
    const [settled, read, { arrivals }] = await Promise.all([
      worker.ask<Arrivals>(question),
      reader.ask<Arrivals>(question),
      receiver.take(events, patienceMs),
    ])
    const received: Arrivals = new Map([...arrivals].map(([key, at]) => [key.slice('0 '.length), at]))
    expectCount('Jobs settled', settled.size, events)
    for (const [name, told] of Object.entries({ receiver: received, reader: read }))
      expectCount(`Jobs that the ${name} was told of`, [...settled.keys()].filter((id) => told.has(id)).length, events)
    return { report, settled, read, received }
  }
  return {
    measureCapacity: async ({ warmUpMs, measuredMs }) => {
      const { progressPort } = receiver
      const load: ClosedLoop = { kind: 'closed', to, progressPort, warmUpMs, measuredMs }
      const { report, received } = await send<ClosedLoopReport>(load, ({ jobs }) => jobs)
      const { from, until, acceptedMeanwhile } = report
      const toldMeanwhile = [...received.values()].filter((at) => at >= from && at < until).length
      if (toldMeanwhile === 0) throw new Error('Nothing was delivered in the time that was measured')
      return (Math.min(acceptedMeanwhile, toldMeanwhile) * 1_000) / (until - from)
    },
    measureDelays: async (perSecond, { warmUpMs, measuredMs }) => {
      const warmUpJobs = Math.round((perSecond * warmUpMs) / 1_000)
      const jobs = warmUpJobs + Math.round((perSecond * measuredMs) / 1_000)
      const load: OpenLoop = { kind: 'open', to, jobs, warmUpJobs, perSecond }
      const { report, settled, read, received } = await send<OpenLoopReport>(load, () => jobs)
      const measured = [...settled].filter(([, at]) => at >= report.startedAt + warmUpMs)
      const delays = (told: Arrivals) => measured.map(([id, at]) => (told.get(id) ?? Number.NaN) - at)
      return { perSecond, toReceiver: delays(received), toReader: delays(read), lagMs: report.lagMs }
    },
    stop: async () => {
      await Promise.all([worker.stop(), reader.stop(), api.stop(), receiver.stop()])
    },
  }
}
