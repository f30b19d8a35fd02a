import type { Place } from '../accept/rivals.ts'
import type { Bench, Row, Section } from '../bench.ts'
import { startChain, type Latencies, type Times } from '../latency/chain.ts'
import { latencyRow } from '../latency/latency.ts'
import type { Named } from '../rounds.ts'
import { wipeServers } from '../servers.ts'
import type { Carrier } from './carriers.ts'
import { footprintMethod, footprintRow, measureFootprint, type Footprint } from './footprint.ts'

/** What was measured in one state of the record, in one round. */
export interface Figures {
  /** Jobs that one worker process did in a second. */
  readonly perSecond: number
  readonly latencies: Latencies
  readonly footprint: Footprint
}

/** Titles and methods of a part's tables; a title goes on with the carrier's name. */
export interface Texts {
  readonly speed: { readonly title: string; readonly method: string }
  readonly latency: { readonly title: string; readonly method: string }
  readonly footprint: { readonly title: string }
}

/** Method of a table that another one before told of. */
const asOnRedis = 'As on Redis, above, but with the tickets in Postgres.'
/** Share of the empty platform's capacity that all states are loaded with. */
const load = 0.5

/** @returns how long a steady load lasts. */
export function loadTimes({ quick }: Bench): Times {
  return quick ? { warmUpMs: 500, measuredMs: 500 } : { warmUpMs: 2_000, measuredMs: 6_000 }
}

/** @returns half of the jobs per second that are both accepted and done where there is nothing else. */
export async function measureHalfLoad(bench: Bench, { chain }: Carrier): Promise<number> {
  const { servers } = bench
  const started = await startChain(chain, {
    databaseUrl: await wipeServers(servers),
    redisUrl: servers.redisUrl,
  })
  try {
    return load * (await started.measureCapacity(loadTimes(bench)))
  } finally {
    await started.stop()
  }
}

/** Measures latencies under a steady load, and the memory at its end. Before it the chain has had all the load that it could take. */
export async function measureUnderLoad(
  bench: Bench,
  carrier: Carrier,
  place: Place,
  perSecond: number,
): Promise<Pick<Figures, 'latencies' | 'footprint'>> {
  const chain = await startChain(carrier.chain, place)
  try {
    await chain.measureCapacity(loadTimes(bench))
    const latencies = await chain.measureLatency(perSecond, loadTimes(bench))
    return { latencies, footprint: await measureFootprint(bench.servers, carrier, chain) }
  } finally {
    await chain.stop()
  }
}

/**
 * Makes the tables of one carrier, whose baseline is the first state.
 *
 * @param found what was measured in each state, one item per round.
 */
export function tellStates(
  { kind, label }: Carrier,
  { speed, latency, footprint }: Texts,
  found: ReadonlyMap<Named, readonly Figures[]>,
): Section[] {
  const baseline = [...found.keys()][0]?.name ?? ''
  const rows = (toRow: (state: Named, rounds: readonly Figures[]) => Row) =>
    [...found].map(([state, rounds]) => toRow(state, rounds))
  return [
    {
      title: `${speed.title}, ${label}`,
      method: methodOn(kind, speed.method),
      unit: 'jobs/s',
      better: 'higher',
      rows: rows(({ name, note }, rounds) => ({
        contestant: name,
        note,
        values: rounds.map(({ perSecond }) => perSecond),
      })),
      baseline,
    },
    {
      title: `${latency.title}, ${label}`,
      method: methodOn(kind, latency.method),
      unit: 'ms until begun, p99',
      better: 'lower',
      rows: rows((state, rounds) =>
        latencyRow(
          state,
          rounds.map(({ latencies }) => latencies),
        ),
      ),
      baseline,
    },
    {
      title: `${footprint.title}, ${label}`,
      method: methodOn(kind, footprintMethod),
      unit: 'MiB in all',
      better: 'lower',
      rows: rows((state, rounds) =>
        footprintRow(
          state,
          rounds.map((each) => each.footprint),
        ),
      ),
      baseline,
    },
  ]
}

/** @returns the method, which is told once, of the carrier that comes first. */
export function methodOn(kind: Carrier['kind'], method: string): string {
  return kind === 'redis' ? method : asOnRedis
}
