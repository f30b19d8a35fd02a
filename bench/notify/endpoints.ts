import { newId } from '@jobyard/db/ids'
import { ensureQueues, setPaused } from '@jobyard/db/queue-rows'
import { webhookDeliver } from '@jobyard/queues/contracts/webhook-deliver'
import type { CarrierKind } from '../accept/contestants.ts'
import type { Bench, Part, Row } from '../bench.ts'
import { runChild } from '../child.ts'
import { carriers } from '../growth/carriers.ts'
import { expectProc, readCpu, readCpuOfFamily } from '../growth/processes.ts'
import { readInfo } from '../growth/redis-info.ts'
import { methodOn } from '../growth/state.ts'
import { expectCount, type Target } from '../process/contestant.ts'
import type { JobyardOptions } from '../process/jobyard.ts'
import { measureInTurns, type Named } from '../rounds.ts'
import { restServers, wipeServers, withPostgres, withRedis } from '../servers.ts'
import { sum } from '../statistics.ts'
import type { EndpointsRequest, WorkDone } from './endpoints-process.ts'
import { startReceiver, type Receiver } from './receiver.ts'

/** Who wants to be told of the jobs. */
interface State extends Named {
  readonly endpoints: number
  /** Whether the queue of deliveries is paused. */
  readonly held: boolean
}

interface Figures {
  readonly perSecond: number
  /** CPU time of a job, in microseconds. */
  readonly cpu: Readonly<Record<'worker' | 'Postgres' | 'Redis' | 'receiver', number>>
  /** Requests that the receiver got while the worker ran. */
  readonly requests: number
}

const program = new URL('endpoints-process.ts', import.meta.url)
/** Jobs at once, as in the part `process`. */
const concurrency: Readonly<Record<CarrierKind, number>> = { redis: 2_000, postgres: 1_000 }
const wholeJobs: Readonly<Record<CarrierKind, number>> = { redis: 200_000, postgres: 100_000 }
const quickShare = 10
const phaseTimeoutMs = 180_000
/** Rest between loading and working, in milliseconds; a quick run has none. */
const restMs = 500

const states: readonly State[] = [
  { name: 'no endpoint', note: 'events are written and get their places; nobody is told', endpoints: 0, held: false },
  {
    name: 'one endpoint, deliveries paused',
    note: 'it wants every event; the queue `webhooks` is paused, so that deliveries are made but not sent',
    endpoints: 1,
    held: true,
  },
  { name: 'one endpoint', note: 'sent by the same worker process', endpoints: 1, held: false },
  { name: 'ten endpoints', note: 'the same, with ten', endpoints: 10, held: false },
]

/** What endpoints cost the jobs that they are told of. */
export const endpoints: Part = async (bench) => {
  expectProc()
  const sections = []
  for (const { kind, label } of carriers) {
    const found = await measureInTurns(bench, states, (state) => measure(bench, kind, state))
    sections.push({
      title: `Processing no-op jobs beside endpoints, ${label}`,
      method: methodOn(kind, method),
      unit: 'jobs/s',
      better: 'higher' as const,
      rows: [...found].map(([state, rounds]) => toRow(state, kind, rounds)),
      baseline: states[0]?.name ?? '',
    })
  }
  return sections
}

async function measure({ servers, quick }: Bench, carrier: CarrierKind, state: State): Promise<Figures> {
  const receiver = await startReceiver(state.endpoints)
  try {
    const place = { databaseUrl: await wipeServers(servers), redisUrl: servers.redisUrl }
    const target: Target = { ...place, jobs: wholeJobs[carrier] / (quick ? quickShare : 1), firstId: newId() }
    const options: JobyardOptions = { carrier, concurrency: concurrency[carrier], deliversTo: receiver.allow }
    const run = <Answer>(phase: EndpointsRequest['phase']) =>
      runChild<Answer>(program, { phase, options, target } satisfies EndpointsRequest, phaseTimeoutMs)
    await run<void>('load')
    await receiver.addEndpoints(place.databaseUrl)
    if (state.held) await holdDeliveries(place.databaseUrl)
    await restServers(place.databaseUrl, quick ? 0 : restMs)
    const before = await readServersCpu(servers, receiver)
    const { perSecond, cpu: worker } = await run<WorkDone>('work')
    const after = await readServersCpu(servers, receiver)
    const ofJob = (seconds: number) => (seconds * 1e6) / target.jobs
    return {
      perSecond,
      cpu: {
        worker: ofJob(worker),
        Postgres: ofJob(after.postgres - before.postgres),
        Redis: ofJob(after.redis - before.redis),
        receiver: ofJob(after.receiver - before.receiver),
      },
      requests: await checkDeliveries(place.databaseUrl, receiver, state),
    }
  } finally {
    await receiver.stop()
  }
}

/** @returns CPU seconds that each has used so far. */
async function readServersCpu({ postmasterPid, redisUrl }: Bench['servers'], receiver: Receiver) {
  const redisPid = await withRedis(redisUrl, (redis) => readInfo(redis, 'server', 'process_id'))
  return {
    postgres: await readCpuOfFamily(postmasterPid),
    redis: await readCpu(redisPid),
    receiver: await readCpu(receiver.pid),
  }
}

async function holdDeliveries(databaseUrl: string): Promise<void> {
  await withPostgres(databaseUrl, async (sql) => {
    await ensureQueues(sql, [webhookDeliver.queue])
    await setPaused(sql, webhookDeliver.queue, true)
  })
}

/**
 * @returns requests that the receiver got.
 * @throws Error when they are not what the state says: none where they are held, some for each endpoint where they are not.
 */
async function checkDeliveries(databaseUrl: string, receiver: Receiver, { endpoints: wanted, held }: State) {
  const { requests, checked } = await receiver.take(0, 0)
  const [row] = await withPostgres(
    databaseUrl,
    (sql) => sql<{ told: number; behind: number }[]>`
      select (select count(distinct endpoint_id)::int from deliveries) as told,
        (select count(*)::int from endpoints e, stream where e.cursor < stream.head) as behind`,
  )
  expectCount('Endpoints for which deliveries were made', row?.told, wanted)
  const reached = requests.filter((count) => count > 0).length
  expectCount('Endpoints that were sent something', reached, held ? 0 : wanted)
  if (held) expectCount('Endpoints whose deliveries wait', row?.behind, wanted)
  if (!held && checked < wanted) throw new Error(`Only ${checked} signatures were checked`)
  return sum(requests)
}

function toRow({ name, note }: State, carrier: CarrierKind, rounds: readonly Figures[]): Row {
  return {
    contestant: name,
    note,
    values: rounds.map(({ perSecond }) => perSecond),
    further: {
      'CPU µs of a job': rounds.map(({ cpu }) => sum(Object.values(cpu))),
      worker: rounds.map(({ cpu }) => cpu.worker),
      Postgres: rounds.map(({ cpu }) => cpu.Postgres),
      ...(carrier === 'redis' && { Redis: rounds.map(({ cpu }) => cpu.Redis) }),
      receiver: rounds.map(({ cpu }) => cpu.receiver),
      'requests meanwhile': rounds.map(({ requests }) => requests),
    },
  }
}

const method = `\
The no-op jobs of [RESULTS.md](RESULTS.md), done by one worker process that also gives events their places, makes deliveries and sends
them. Endpoints want every event, and have the defaults. The receiver is a process of its own on this machine, with precedence where the system allows it, and answers 200 at
once. The clock runs as there, from the end of the first tenth until the last job is recorded; deliveries that are left then are not waited for: an endpoint falls behind such a
load, and catches up afterwards at the rate that is measured below. CPU time is that of all processes but the benchmark's own, from the start of the worker process to its end, by the number of jobs: it is steadier than the rate where the machine has other work. Checked is, besides the jobs, that each endpoint was sent something, one request in a
hundred for its signature, and that nothing was sent where deliveries are paused.`
