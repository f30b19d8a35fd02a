import type { Bench, Section } from '../bench.ts'
import { runChild } from '../child.ts'
import { takeTurns, type Named } from '../rounds.ts'
import { wipeServers } from '../servers.ts'
import type { BatchTask } from './batch-sender.ts'
import {
  countQueued,
  countWaiting,
  headers,
  startJobyardApi,
  startProducer,
  type CarrierKind,
  type HttpService,
} from './contestants.ts'
import type { Place, Rival } from './rivals.ts'

interface Contestant extends Named {
  open(place: Place): Promise<Opened>
  /** Counts the jobs that are there to be run. */
  count(place: Place): Promise<number>
}

interface Opened {
  readonly to: BatchTask['to']
  stop(): Promise<void>
}

const sender = new URL('batch-sender.ts', import.meta.url)
const wholeJobs = 60_000
const quickJobs = 40_000
/** A quarter of the jobs is sent before the clock starts; so much makes one stream, four of which are under way at once. */
const quarter = 1 / 4
const arrayLength = 1_000
/** Time that one measurement may take, in milliseconds. */
const timeoutMs = 120_000

const baseline = 'BullMQ `addBulk` behind HTTP, Redis'
const contestants: readonly Contestant[] = [
  jobyard('Jobyard array, Redis', 'array', 'redis'),
  jobyard('Jobyard array, embedded carrier', 'array', 'postgres'),
  jobyard('Jobyard NDJSON, Redis', 'ndjson', 'redis'),
  jobyard('Jobyard NDJSON, embedded carrier', 'ndjson', 'postgres'),
  behindHttp(baseline, 'nothing recorded', 'BullMQ, Redis'),
  behindHttp('Graphile Worker `addJobs` behind HTTP', 'one statement for each batch', 'Graphile Worker'),
  behindHttp('pg-boss `insert` behind HTTP', 'one statement for each batch', 'pg-boss'),
  asLibrary('Graphile Worker `addJobs`, called directly', 'Graphile Worker'),
  asLibrary('pg-boss `insert`, called directly', 'pg-boss'),
]

/** Measures how many jobs each contestant takes when they come many at a time. */
export async function acceptInBatches(bench: Bench): Promise<Section> {
  const jobs = bench.quick ? quickJobs : wholeJobs
  const [all, some] = [jobs, jobs * quarter].map((count) => count.toLocaleString('en-US'))
  return {
    title: 'Accepting jobs in batches',
    method:
      `The time to hand in ${all} jobs, four batches under way at once, after ${some} of warm-up. A batch is an array of 1,000 jobs; with ` +
      `NDJSON it is a stream of ${some} lines, each of which is answered with a line. No workers run. Behind HTTP, every contestant is one ` +
      'Node process that validates each job with the same schemas; called directly, no process is in between and nothing is validated. ' +
      'Afterwards the jobs are counted: all must be there, once.',
    unit: 'jobs/s',
    better: 'higher',
    rows: await takeTurns(bench, contestants, (contestant) => measure(bench, contestant, jobs)),
    baseline,
  }
}

async function measure({ servers }: Bench, contestant: Contestant, jobs: number): Promise<number> {
  const place: Place = { databaseUrl: await wipeServers(servers), redisUrl: servers.redisUrl }
  const opened = await contestant.open(place)
  const { to } = opened
  const warmUpJobs = jobs * quarter
  const jobsPerBatch = to.way === 'ndjson' ? jobs * quarter : arrayLength
  try {
    const perSecond = await runChild<number>(
      sender,
      { to, jobsPerBatch, warmUpJobs, jobs } satisfies BatchTask,
      timeoutMs,
    )
    const found = await contestant.count(place)
    if (found !== warmUpJobs + jobs) throw new Error(`It accepted ${warmUpJobs + jobs} jobs, and ${found} are there`)
    return perSecond
  } finally {
    await opened.stop()
  }
}

function jobyard(name: string, way: 'array' | 'ndjson', carrier: CarrierKind): Contestant {
  const note = 'rows committed before the answer; authentication on'
  return { name, note, open: (place) => openHttp(way, startJobyardApi(place, carrier)), count: countQueued }
}

function behindHttp(name: string, note: string, rival: Rival): Contestant {
  return {
    name,
    note,
    open: (place) => openHttp('array', startProducer(place, rival)),
    count: (place) => countWaiting(place, rival),
  }
}

async function openHttp(way: 'array' | 'ndjson', starting: Promise<HttpService>): Promise<Opened> {
  const service = await starting
  return { to: { way, url: service.report.listening, headers }, stop: () => service.stop() }
}

function asLibrary(name: string, rival: Rival): Contestant {
  return {
    name,
    note: 'no HTTP, no validation',
    open: async (place) => ({ to: { way: 'library', rival, place }, stop: async () => {} }),
    count: (place) => countWaiting(place, rival),
  }
}
