import { setTimeout as delay } from 'node:timers/promises'
import type { Bench, Section } from '../bench.ts'
import { takeTurns, type Named } from '../rounds.ts'
import { wipeServers } from '../servers.ts'
import {
  countQueued,
  countWaiting,
  headers,
  startJobyardApi,
  startProducer,
  type CarrierKind,
  type HttpService,
} from './contestants.ts'
import { jobName, type Place, type Rival } from './rivals.ts'
import { sendLoad } from './wrk.ts'

/** Somebody who accepts jobs over HTTP, one a request. */
export interface Contestant extends Named {
  start(place: Place): Promise<HttpService>
  /** The headers of every request, where they differ from the usual ones. @param url `http://host:port` of the service. */
  headersFor?(url: string): Promise<Readonly<Record<string, string>>>
  /** Counts the jobs that are there to be run. */
  count(place: Place): Promise<number>
}

const connections = 100
const body = JSON.stringify({ type: jobName, input: { value: 1 } })
/** Time that jobs which were under way when the load stopped have to arrive, in milliseconds. */
const arrivalMs = 5_000

export const bareRoute: Contestant = {
  name: 'Fastify route alone',
  note: 'validates, keeps nothing: what HTTP costs',
  start: (place) => startProducer(place),
  count: async () => Infinity,
}
export const queueAdd = rival('BullMQ `queue.add`, Redis', 'nothing recorded', 'BullMQ, Redis')
const contestants: readonly Contestant[] = [
  bareRoute,
  queueAdd,
  rival('insert, then `queue.add`, Redis', 'a row committed for each request', 'BullMQ, Redis, recording row by row'),
  jobyard('Jobyard, Redis', 'row committed before the answer; authentication on', 'redis'),
  jobyard('Jobyard, embedded carrier', 'the same without Redis: tickets in Postgres', 'postgres'),
]

/** Measures how many jobs each contestant accepts, one job a request. */
export async function acceptSingly(bench: Bench): Promise<Section> {
  const seconds = bench.quick ? 1 : 4
  return {
    title: 'Accepting jobs over HTTP, one a request',
    method:
      `Requests answered with 202 per second, ${connections} connections of \`wrk\`, each sending the next request when it has its answer; ` +
      `${seconds} s after 1 s of warm-up. No workers run. Every contestant is one Node process that validates the same body with the same schemas. ` +
      'Afterwards the jobs are counted: none that was answered with 202 may be missing.',
    unit: 'jobs/s',
    better: 'higher',
    rows: await takeTurns(bench, contestants, (contestant) => measureSingly(bench, contestant, seconds)),
    baseline: queueAdd.name,
  }
}

/**
 * Measures how many jobs a contestant accepts per second, after 1 s of warm-up.
 *
 * @throws Error when one that it accepted is not there afterwards.
 */
export async function measureSingly({ servers }: Bench, contestant: Contestant, seconds: number): Promise<number> {
  const place: Place = { databaseUrl: await wipeServers(servers), redisUrl: servers.redisUrl }
  const service = await contestant.start(place)
  try {
    const { listening } = service.report
    const load = {
      url: `${listening}/v1/jobs`,
      headers: (await contestant.headersFor?.(listening)) ?? headers,
      body,
      connections,
    }
    const warmUp = await sendLoad({ ...load, seconds: 1 })
    const measured = await sendLoad({ ...load, seconds })
    await expectJobs(() => contestant.count(place), warmUp.answered + measured.answered)
    return measured.perSecond
  } finally {
    await service.stop()
  }
}

/** @throws Error when jobs that were accepted are not there. More may be: those whose answer the load did not wait for. */
async function expectJobs(count: () => Promise<number>, accepted: number): Promise<void> {
  const deadline = performance.now() + arrivalMs
  let found = await count()
  while (found < accepted && performance.now() < deadline) {
    await delay(100)
    found = await count()
  }
  if (found < accepted) throw new Error(`It accepted ${accepted} jobs, and only ${found} are there`)
}

function rival(name: string, note: string, kind: Rival): Contestant {
  return {
    name,
    note,
    start: (place) => startProducer(place, kind),
    count: (place) => countWaiting(place, kind),
  }
}

function jobyard(name: string, note: string, carrier: CarrierKind): Contestant {
  return { name, note, start: (place) => startJobyardApi(place, carrier), count: countQueued }
}
