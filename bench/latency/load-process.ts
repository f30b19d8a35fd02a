import { connect } from 'node:net'
import { answerParent } from '../child.ts'
import { percentile } from '../statistics.ts'
import { Connection, type Address } from './connection.ts'
import { takePrecedence } from './precedence.ts'
import { now } from './timeline.ts'

/** What {@link runChild} asks of the process that sends the load. */
export type LoadTask = ClosedLoop | OpenLoop

/** As much as can be: a job is posted as soon as fewer than {@link unfinished} are on their way, by a connection that has its answer. */
export interface ClosedLoop {
  readonly kind: 'closed'
  /** Where the worker tells how many jobs it has settled. */
  readonly progressPort: number
  readonly to: Address
  readonly warmUpMs: number
  readonly measuredMs: number
}

/** Each job is posted at its moment, whatever became of those before. */
export interface OpenLoop {
  readonly kind: 'open'
  readonly to: Address
  readonly jobs: number
  /** The first ones, which are not counted. */
  readonly warmUpJobs: number
  readonly perSecond: number
}

export interface ClosedLoopReport {
  /** Jobs accepted in all, warm-up included. */
  readonly jobs: number
  /** When the warm-up and when the measurement ended. */
  readonly from: number
  readonly until: number
  /** Jobs accepted between these. */
  readonly acceptedMeanwhile: number
}

export interface OpenLoopReport {
  /** Moment of the first job; the others follow in even steps. */
  readonly startedAt: number
  /** How much later than at its moment a job was posted, at the 99th percentile, in milliseconds. */
  readonly lagMs: number
}

const connections = 100
/** Jobs posted but not settled, at most, where the load waits for the worker. */
const unfinished = 500
/** Connections that may be opened when all are waiting for their answers. */
const maxConnections = 5_000
/** Time between opening the connections and the first job, in milliseconds. */
const leadMs = 200
/** Longest and shortest sleep between two looks at the clock, in milliseconds. */
const longestSleepMs = 0.5
const shortestSleepMs = 0.05

takePrecedence()
answerParent<LoadTask, ClosedLoopReport | OpenLoopReport>((task) =>
  task.kind === 'closed' ? runClosedLoop(task) : runOpenLoop(task),
)

async function runClosedLoop({ to, progressPort, warmUpMs, measuredMs }: ClosedLoop): Promise<ClosedLoopReport> {
  const from = now() + warmUpMs
  const until = from + measuredMs
  const { promise: finished, resolve } = Promise.withResolvers<void>()
  const idle: Connection[] = []
  let jobs = 0
  let settled = 0
  let acceptedMeanwhile = 0
  const postMore = () => {
    while (jobs - settled < unfinished && now() < until) {
      const connection = idle.pop()
      if (!connection) return
      connection.post(jobs++)
    }
    if (idle.length === connections && now() >= until) resolve()
  }
  const onAnswer = (connection: Connection) => {
    idle.push(connection)
    const at = now()
    if (at >= from && at < until) acceptedMeanwhile++
    postMore()
  }
  while (idle.length < connections) idle.push(new Connection(to, onAnswer))
  connect(progressPort, '127.0.0.1').on('data', (lines) => {
    settled = Number(lines.toString().split('\n').at(-2) ?? settled)
    postMore()
  })
  await finished
  return { jobs, from, until, acceptedMeanwhile }
}

async function runOpenLoop({ to, jobs, warmUpJobs, perSecond }: OpenLoop): Promise<OpenLoopReport> {
  const { promise: finished, resolve, reject } = Promise.withResolvers<void>()
  const idle: Connection[] = []
  let opened = 0
  let accepted = 0
  const onAnswer = (connection: Connection) => {
    idle.push(connection)
    if (++accepted === jobs) resolve()
  }
  const open = () => {
    if (++opened > maxConnections) reject(new Error(`${maxConnections} jobs wait for their answers`))
    return new Connection(to, onAnswer)
  }
  while (opened < connections) idle.push(open())

  const startedAt = now() + leadMs
  const lags: number[] = []
  const momentOf = (job: number) => startedAt + (job * 1_000) / perSecond
  const postDue = () => {
    for (let at = now(); lags.length < jobs && momentOf(lags.length) <= at; at = now()) {
      const connection = idle.pop() ?? open()
      connection.post(lags.length)
      lags.push(at - momentOf(lags.length))
    }
    if (lags.length === jobs) return
    sleep(momentOf(lags.length) - now())
    setImmediate(postDue)
  }
  postDue()
  await finished
  return { startedAt, lagMs: percentile(lags.slice(warmUpJobs), 99) }
}

const neverWoken = new Int32Array(new SharedArrayBuffer(4))

/** Sleeps more exactly than a timer, which counts whole milliseconds; answers that come meanwhile wait. */
function sleep(ms: number): void {
  if (ms > shortestSleepMs) Atomics.wait(neverWoken, 0, 0, Math.min(ms, longestSleepMs))
}
