import type { Bench, Part, Row, Section } from '../bench.ts'
import { measureInTurns, type Named } from '../rounds.ts'
import { wipeServers } from '../servers.ts'
import { startChain, type Latencies, type Times } from './chain.ts'
import { baseline, contestants, type Contestant } from './contestants.ts'

interface Plan extends Times {
  /** Shares of its own capacity that each contestant is loaded with. */
  readonly levels: readonly number[]
}

const wholePlan: Plan = { levels: [0.25, 0.5, 0.75], warmUpMs: 2_000, measuredMs: 4_000 }
const quickPlan: Plan = { levels: [0.5], warmUpMs: 500, measuredMs: 500 }
/** A round takes four minutes. */
const maxRounds = 3

/** How long it takes from a request until its job begins, and until it is recorded, under a steady load. */
export const latency: Part = async (given) => {
  const bench = { ...given, rounds: Math.min(given.rounds, maxRounds) }
  const plan = bench.quick ? quickPlan : wholePlan
  const found = await measureInTurns(bench, contestants, (contestant) => measure(bench, contestant, plan))
  const capacities = [...found].map(([{ name, note }, rounds]) => ({
    contestant: name,
    note,
    values: rounds.map(({ capacity }) => capacity),
  }))
  const sections = plan.levels.map((level, at) => {
    const rows = [...found].map(([contestant, rounds]) =>
      latencyRow(
        contestant,
        rounds.flatMap(({ latencies }) => latencies[at] ?? []),
      ),
    )
    return latencySection(level, plan, rows)
  })
  return [capacitySection(plan, capacities), ...sections]
}

/** Measures one contestant's capacity, and then its latencies at each level of it. */
async function measure(
  { servers }: Bench,
  contestant: Contestant,
  plan: Plan,
): Promise<{ capacity: number; latencies: Latencies[] }> {
  const place = { databaseUrl: await wipeServers(servers), redisUrl: servers.redisUrl }
  const chain = await startChain(contestant, place)
  try {
    const capacity = await chain.measureCapacity(plan)
    const latencies: Latencies[] = []
    for (const level of plan.levels) latencies.push(await chain.measureLatency(capacity * level, plan))
    return { capacity, latencies }
  } finally {
    await chain.stop()
  }
}

/** @returns one row of a table of latencies, of what was measured in each round. */
export function latencyRow({ name, note }: Named, rounds: readonly Latencies[]): Row {
  return {
    contestant: name,
    note,
    values: rounds.map(({ begun }) => begun.p99),
    further: {
      'begun, p50': rounds.map(({ begun }) => begun.p50),
      'begun, p99.9': rounds.map(({ begun }) => begun.p999),
      'recorded, p50': rounds.map(({ settled }) => settled.p50),
      'recorded, p99': rounds.map(({ settled }) => settled.p99),
      'recorded, p99.9': rounds.map(({ settled }) => settled.p999),
      'jobs/s': rounds.map(({ perSecond }) => perSecond),
      'sent late, p99': rounds.map(({ lagMs }) => lagMs),
    },
  }
}

function capacitySection(times: Times, rows: Row[]): Section {
  return {
    title: 'From the request to the record: capacity',
    method:
      'One process sends requests, one takes them over HTTP and hands the jobs on, one runs them; the job does nothing. Counted are the jobs that were both ' +
      `accepted and recorded as done in ${inSeconds(times)}, with at most 500 unfinished ones on their way, over 100 connections. ` +
      'Each contestant has the concurrency with which its chain did most.',
    unit: 'jobs/s',
    better: 'higher',
    rows,
    baseline,
  }
}

function latencySection(level: number, times: Times, rows: Row[]): Section {
  const percent = level * 100
  return {
    title: `From the request to the record: latency at ${percent} % of capacity`,
    method:
      `The same processes under a steady load of ${percent} % of the capacity that the contestant itself had shown just before, ${inSeconds(times)}. Requests are sent at their moments, ` +
      'whatever became of those before, and latency counts from the moment a request was due, by one clock: until the first line of the ' +
      'handler (begun), and until the contestant has recorded the job as done, committed or answered by Redis (recorded). Milliseconds. ' +
      'The last column tells how late the requests were sent themselves, which the latencies include. Every job that was sent was done.',
    unit: 'ms until begun, p99',
    better: 'lower',
    rows,
    baseline,
  }
}

function inSeconds({ warmUpMs, measuredMs }: Times): string {
  return `${measuredMs / 1_000} s after ${warmUpMs / 1_000} s of warm-up`
}
