import type { Bench, Row, Servers } from '../bench.ts'
import type { Chain } from '../latency/chain.ts'
import type { Named } from '../rounds.ts'
import { withRedis } from '../servers.ts'
import type { Carrier } from './carriers.ts'
import { readMemoryOfFamily, readResident } from './processes.ts'
import { readInfo } from './redis-info.ts'

/** Memory in MiB, by whose it is, as the headings of the table call it. */
export type Footprint = Readonly<Record<string, number>>

const mebibyte = 1_048_576
const redisData = 'of it data'

/** What the headings of a {@link footprintRow} mean. */
export const footprintMethod = `\
Memory at the end of the steady load, in MiB, while all processes still run: of Redis what the system has given it (RSS) and what its
data take (\`used_memory\`), of Postgres all processes together, shared pages counted once (PSS; a heading says so where the system did
not tell and each process counts them), of the API and the worker each its RSS. Files that the system keeps in memory are not in it.`

/** @returns memory of the servers that a carrier uses, and of a chain's processes. */
export async function measureFootprint(
  { redisUrl, postmasterPid }: Bench['servers'],
  carrier: Carrier,
  { pids }: Chain,
): Promise<Footprint> {
  const postgres = await readMemoryOfFamily(postmasterPid)
  const sizes = {
    [postgres.sharedOnce ? 'Postgres' : 'Postgres, shared pages often']: postgres.bytes,
    ...(carrier.kind === 'redis' && (await measureRedis({ redisUrl }))),
    API: await readResident(pids.intake),
    worker: await readResident(pids.worker),
  }
  return Object.fromEntries(Object.entries(sizes).map(([name, bytes]) => [name, bytes / mebibyte]))
}

/** @returns one row of a table of memory: the sum of all, then each. */
export function footprintRow({ name, note }: Named, rounds: readonly Footprint[]): Row {
  const names = Object.keys(rounds[0] ?? {})
  return {
    contestant: name,
    note,
    values: rounds.map((each) => names.reduce((sum, part) => sum + (part === redisData ? 0 : (each[part] ?? 0)), 0)),
    further: Object.fromEntries(names.map((part) => [part, rounds.map((each) => each[part] ?? 0)])),
  }
}

function measureRedis({ redisUrl }: Pick<Servers, 'redisUrl'>): Promise<Record<string, number>> {
  return withRedis(redisUrl, async (redis) => ({
    Redis: await readInfo(redis, 'memory', 'used_memory_rss'),
    [redisData]: await readInfo(redis, 'memory', 'used_memory'),
  }))
}
