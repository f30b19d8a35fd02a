import type { CarrierKind } from '../accept/contestants.ts'
import { startProductionWorkers } from '../accept/contestants.ts'
import type { Place } from '../accept/rivals.ts'
import type { Bench, Part, Row } from '../bench.ts'
import { loadBacklog, takeFirst } from '../growth/backlog.ts'
import { carriers } from '../growth/carriers.ts'
import { countStatementsOf, watch } from '../growth/consumption.ts'
import { expectProc } from '../growth/processes.ts'
import { expectCount } from '../process/contestant.ts'
import { measureInTurns, type Named } from '../rounds.ts'
import { restServers, wipeServers, withPostgres } from '../servers.ts'
import { sum } from '../statistics.ts'
import type { Arrivals } from './arrivals.ts'
import { startReceiver, type Receipts } from './receiver.ts'

interface State extends Named {
  readonly carrier: CarrierKind
  readonly endpoints: number
  /** Events that each of them is sent. */
  readonly events: number
}

interface Figures {
  readonly perSecond: number
  /** From the start of the worker process until the receiver had all, in seconds. */
  readonly allAfter: number
  /** Per delivery. */
  readonly statements: number
  readonly redisCommands: number
  /** Bytes of write-ahead log, and of the request. */
  readonly logBytes: number
  readonly requestBytes: number
  readonly microseconds: Readonly<Record<'worker' | 'Postgres' | 'Redis' | 'receiver', number>>
}

const quickShare = 20
/** Share of the deliveries that come before the clock runs. */
const warmUpShare = 0.1
const timeoutMs = 900_000
/** Rest before the worker begins, in milliseconds; a quick run has none. */
const restMs = 500

const states: readonly State[] = carriers.flatMap(({ kind, label }) => [
  { name: `one endpoint, ${label}`, note: '20,000 events', carrier: kind, endpoints: 1, events: 20_000 },
  { name: `ten endpoints, ${label}`, note: '5,000 events, to each', carrier: kind, endpoints: 10, events: 5_000 },
])

/** How fast a backlog of events is delivered. */
export const deliveries: Part = async (bench) => {
  expectProc()
  const share = bench.quick ? quickShare : 1
  const scaled = states.map((state) => ({ ...state, events: state.events / share }))
  const found = await measureInTurns(bench, scaled, (state) => measure(bench, state))
  return [
    {
      title: 'Delivering a backlog of events',
      method,
      unit: 'deliveries/s',
      better: 'higher',
      rows: [...found].map(([state, rounds]) => toRow(state, rounds)),
      baseline: states[0]?.name ?? '',
    },
  ]
}

async function measure({ servers, quick }: Bench, { carrier, endpoints, events }: State): Promise<Figures> {
  const place = { databaseUrl: await wipeServers(servers), redisUrl: servers.redisUrl }
  await endJobs(place, carrier, events)
  await countStatementsOf(place.databaseUrl)
  const receiver = await startReceiver(endpoints)
  await receiver.addEndpoints(place.databaseUrl, 0)
  await restServers(place.databaseUrl, quick ? 0 : restMs)
  const startedAt = performance.now()
  const worker = await startProductionWorkers(place, carrier, { OUTBOUND_ALLOW: receiver.allow })
  try {
    const total = events * endpoints
    const before = await receiver.wait(total * warmUpShare, timeoutMs)
    const watched = { servers, databaseUrl: place.databaseUrl, pids: { worker: worker.pid, receiver: receiver.pid } }
    const logBefore = await readLogBytes(place)
    const used = await watch(watched, () => receiver.wait(total, timeoutMs))
    const logBytes = (await readLogBytes(place)) - logBefore
    const allAfter = (performance.now() - startedAt) / 1_000
    const receipts = await receiver.take(total, 0)
    await checkCompleteness(place, receipts, endpoints)
    const each = (amount: number) => amount / (total - before)
    const microseconds = (seconds: number) => each(seconds) * 1e6
    return {
      perSecond: rateOf(receipts.arrivals),
      allAfter,
      statements: each(used.statements),
      redisCommands: each(used.redisCommands),
      logBytes: each(logBytes),
      requestBytes: receipts.bytes / sum(receipts.requests),
      microseconds: {
        worker: microseconds(used.cpu.worker),
        Postgres: microseconds(used.postgresCpu),
        Redis: microseconds(used.redisCpu),
        receiver: microseconds(used.cpu.receiver),
      },
    }
  } finally {
    await Promise.all([worker.stop(), receiver.stop()])
  }
}

/** @returns bytes of write-ahead log that the server has written so far. */
async function readLogBytes({ databaseUrl }: Place): Promise<number> {
  const [row] = await withPostgres(
    databaseUrl,
    (sql) => sql<{ bytes: number }[]>`select (pg_current_wal_insert_lsn() - '0/0')::float8 as bytes`,
  )
  return row?.bytes ?? 0
}

/** Has so many jobs end that nobody is told of. */
async function endJobs(place: Place, carrier: CarrierKind, jobs: number): Promise<void> {
  await loadBacklog(place, carrier, jobs)
  await takeFirst(place, carrier, jobs, jobs)
}

/** @throws Error when an endpoint was not sent every event. */
async function checkCompleteness({ databaseUrl }: Place, { arrivals, checked }: Receipts, endpoints: number) {
  const events = await withPostgres(databaseUrl, (sql) => sql<{ id: string }[]>`select id from outbox`)
  for (let endpoint = 0; endpoint < endpoints; endpoint++) {
    const missing = events.filter(({ id }) => !arrivals.has(`${endpoint} ${id}`))
    expectCount(`Events that endpoint ${endpoint} was not sent`, missing.length, 0)
  }
  expectCount('Different deliveries', arrivals.size, events.length * endpoints)
  if (checked < endpoints) throw new Error(`Only ${checked} signatures were checked`)
}

/** @returns deliveries per second, from the end of the warm-up to the last one. */
function rateOf(arrivals: Arrivals): number {
  const moments = [...arrivals.values()].toSorted((left, right) => left - right)
  const first = Math.ceil(moments.length * warmUpShare)
  const ms = (moments.at(-1) ?? 0) - (moments[first - 1] ?? 0)
  return ((moments.length - first) * 1_000) / ms
}

function toRow({ name, note, carrier }: State, rounds: readonly Figures[]): Row {
  const column = (pick: (round: Figures) => number) => rounds.map(pick)
  return {
    contestant: name,
    note,
    values: column(({ perSecond }) => perSecond),
    further: {
      'all after, s': column(({ allAfter }) => allAfter),
      statements: column(({ statements }) => statements),
      'CPU µs: worker': column(({ microseconds }) => microseconds.worker),
      Postgres: column(({ microseconds }) => microseconds.Postgres),
      receiver: column(({ microseconds }) => microseconds.receiver),
      'WAL bytes': column(({ logBytes }) => logBytes),
      'bytes sent': column(({ requestBytes }) => requestBytes),
      ...(carrier === 'redis' && {
        Redis: column(({ microseconds }) => microseconds.Redis),
        'commands of Redis': column(({ redisCommands }) => redisCommands),
      }),
    },
  }
}

const method = `\
Jobs have ended. Then endpoints are there that want all of these events, and one worker process starts as in production,
with the defaults; the receiver is a process of its own on the same cores. The clock runs from the arrival of the first tenth of the deliveries to that of the last one; "all after" also counts
the start of the process and the first tenth. Statements, commands of Redis, CPU time and write-ahead log are those of one delivery, between the same moments; bytes sent are its whole request. Every event came to
every endpoint; of each endpoint one request in a hundred is checked by the library of Standard Webhooks.`
