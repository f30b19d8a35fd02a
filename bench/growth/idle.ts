import { setTimeout as delay } from 'node:timers/promises'
import { catalogue } from '@jobyard/queues/catalogue'
import {
  countQueued,
  headers,
  startJobyardApi,
  startProductionWorkers,
  type CarrierKind,
  type HttpService,
} from '../accept/contestants.ts'
import type { Place } from '../accept/rivals.ts'
import type { Bench, Part, Row, Section } from '../bench.ts'
import { measureInTurns, type Named } from '../rounds.ts'
import { wipeServers } from '../servers.ts'
import { loadBacklog } from './backlog.ts'
import { carriers } from './carriers.ts'
import { countStatementsOf, watch, type Consumption } from './consumption.ts'
import { fillFinished, listFilled, tidyUp } from './finished-jobs.ts'
import { expectProc } from './processes.ts'
import { methodOn } from './state.ts'

/** What is there while nothing happens. */
interface State extends Named {
  prepare(): Promise<Place>
  /** Jobs that wait in a paused queue. */
  readonly waiting: number
}

type Hour = Consumption<'api' | 'worker'>

interface Plan {
  readonly settlingMs: number
  readonly measuredMs: number
  /** Jobs that wait in a paused queue, in one state. */
  readonly waiting: number
  /** Jobs that have ended, in one state, where no other part has filled in more. */
  readonly finished: number
}

const wholePlan: Plan = { settlingMs: 10_000, measuredMs: 60_000, waiting: 1_000_000, finished: 1_000_000 }
const quickPlan: Plan = { settlingMs: 1_000, measuredMs: 3_000, waiting: 5_000, finished: 10_000 }
const hourMs = 3_600_000
/** Queue that is paused: one of those that workers serve. */
const pausedQueue = catalogue.queues[0] ?? ''

/** What an hour costs in which nothing happens. */
export const idle: Part = async (given) => {
  expectProc()
  const bench = { ...given, rounds: 1 }
  const plan = bench.quick ? quickPlan : wholePlan
  const states = await makeStates(bench, plan)
  const sections: Section[] = []
  for (const { kind, label } of carriers) {
    const found = await measureInTurns(bench, states, (state) => measureHour(bench, plan, kind, state))
    const rows = [...found].map(([state, hours]) => toRow(state, kind, hours))
    sections.push({
      title: `An idle hour, ${label}`,
      method: methodOn(kind, method(plan)),
      unit: 'statements',
      better: 'lower',
      rows,
      baseline: rows[0]?.contestant ?? '',
    })
  }
  return sections
}

async function makeStates(bench: Bench, plan: Plan): Promise<State[]> {
  const { servers } = bench
  const { redisUrl } = servers
  const prepareEmpty = async () => ({ databaseUrl: await wipeServers(servers), redisUrl })
  const most = Math.max(plan.finished, ...listFilled().map(({ jobs }) => jobs))
  const database = await fillFinished(bench, most)
  const prepareFilled = async () => {
    await tidyUp(servers, database)
    return { databaseUrl: database.url, redisUrl }
  }
  const count = (jobs: number) => jobs.toLocaleString('en-US')
  return [
    { name: 'no jobs', note: 'a new database', waiting: 0, prepare: prepareEmpty },
    { name: `${count(most)} finished jobs`, note: 'none waits', waiting: 0, prepare: prepareFilled },
    {
      name: `${count(plan.waiting)} waiting jobs`,
      note: 'in a queue that is served but paused',
      waiting: plan.waiting,
      prepare: prepareEmpty,
    },
  ]
}

/** @returns what an hour would use, by what some idle time has used. */
async function measureHour(bench: Bench, plan: Plan, kind: CarrierKind, state: State): Promise<Hour> {
  const place = await state.prepare()
  await countStatementsOf(place.databaseUrl)
  const api = await startJobyardApi(place, kind)
  const worker = await startProductionWorkers(place, kind)
  try {
    if (state.waiting > 0) await haveWaiting(api, place, kind, state.waiting)
    await delay(plan.settlingMs)
    const watched = {
      servers: bench.servers,
      databaseUrl: place.databaseUrl,
      pids: { api: api.pid, worker: worker.pid },
    }
    const { ms, ...used } = await watch(watched, () => delay(plan.measuredMs))
    if (used.statements === 0) throw new Error('Not even a heartbeat was counted')
    const queued = await countQueued(place)
    if (queued !== state.waiting) throw new Error(`${state.waiting} jobs were to wait, and ${queued} do`)
    return perHour(used, ms)
  } finally {
    await Promise.all([worker.stop(), api.stop()])
  }
}

/** Pauses a queue, as one does, and fills it. */
async function haveWaiting({ report }: HttpService, place: Place, kind: CarrierKind, jobs: number): Promise<void> {
  const url = `${report.listening}/v1/queues/${pausedQueue}/pause`
  const { ok, status } = await fetch(url, { method: 'POST', headers: { authorization: headers.authorization } })
  if (!ok) throw new Error(`The queue was not paused: ${status}`)
  await loadBacklog(place, kind, jobs, pausedQueue)
}

function perHour(used: Hour, ms: number): Hour {
  const hours = hourMs / ms
  return {
    statements: used.statements * hours,
    redisCommands: used.redisCommands * hours,
    postgresCpu: used.postgresCpu * hours,
    redisCpu: used.redisCpu * hours,
    cpu: { api: used.cpu.api * hours, worker: used.cpu.worker * hours },
  }
}

function toRow({ name, note }: Named, kind: CarrierKind, hours: readonly Hour[]): Row {
  const column = (pick: (hour: Hour) => number) => hours.map(pick)
  return {
    contestant: name,
    note,
    values: column(({ statements }) => statements),
    further: {
      'CPU s: Postgres': column(({ postgresCpu }) => postgresCpu),
      API: column(({ cpu }) => cpu.api),
      worker: column(({ cpu }) => cpu.worker),
      ...(kind === 'redis' && {
        Redis: column(({ redisCpu }) => redisCpu),
        'commands of Redis': column(({ redisCommands }) => redisCommands),
      }),
    },
  }
}

function method({ settlingMs, measuredMs }: Plan): string {
  return `\
One API process and one worker process, started as in production with the defaults and all ${catalogue.queues.length} queues, are left alone for ${measuredMs / 1_000} s, after
${settlingMs / 1_000} s to settle; given is what an hour of this makes. Measured once. Statements are those that clients sent to the database, counted by
\`pg_stat_statements\` (what functions run inside is not counted), CPU seconds those of all processes of Postgres, of Redis, of the API
and of the worker, autovacuum and checkpoints included. Commands of Redis are those it counts itself, scripts' own included.
Afterwards the jobs that wait are counted.`
}
