import { setTimeout as delay } from 'node:timers/promises'
import { headers, startJobyardApi, startProductionWorkers } from '../accept/contestants.ts'
import { startService } from '../accept/service.ts'
import type { Bench, Part, Row, Section } from '../bench.ts'
import { countStatementsOf } from '../growth/consumption.ts'
import { expectProc, readCpu, readResident } from '../growth/processes.ts'
import { expectCount } from '../process/contestant.ts'
import { measureInTurns, type Named } from '../rounds.ts'
import { wipeServers, withPostgres } from '../servers.ts'
import { countStatementsBy, urlOfRole } from './role.ts'
import { paceJobs, postJobs } from './paced-jobs.ts'
import type { CaughtUp, ReadersQuestion, ReadersTask } from './readers-process.ts'
import type { StreamsApiTask } from './streams-api-process.ts'

interface State extends Named {
  readonly readers: number
}

interface Plan {
  readonly readers: readonly number[]
  /** How many events ago the readers resume. */
  readonly ago: number
  readonly perSecond: number
  /** Time for which the statements of live readers are counted, in milliseconds. */
  readonly liveMs: number
}

interface Figures {
  readonly caughtUp: CaughtUp
  /** Statements and CPU seconds of the API while the readers caught up. */
  readonly catchingUp: { readonly statements: number; readonly cpu: number }
  /** The same per second, while all were live. */
  readonly live: { readonly statements: number; readonly cpu: number }
  /** Resident memory of the API, in MiB: without a reader, when all had caught up, and at the end. */
  readonly memory: Readonly<Record<'before' | 'caughtUp' | 'after', number>>
}

const wholePlan: Plan = { readers: [1, 100, 500], ago: 10_000, perSecond: 100, liveMs: 10_000 }
const quickPlan: Plan = { readers: [1, 50], ago: 1_000, perSecond: 50, liveMs: 2_000 }
const apiProcess = new URL('streams-api-process.ts', import.meta.url)
const readersProcess = new URL('readers-process.ts', import.meta.url)
const jobsPerRequest = 1_000
const mebibyte = 1_048_576
/** Pause between two looks at the head, in milliseconds. */
const lookEveryMs = 20
/** Time that jobs may take to be told, in milliseconds. */
const patienceMs = 60_000

/** What readers that resume, and live ones, cost the API process that serves them. */
export const streams: Part = async (bench) => {
  expectProc()
  const plan = bench.quick ? quickPlan : wholePlan
  const states = plan.readers.map(toState)
  const found = await measureInTurns(bench, states, (state) => measure(bench, plan, state))
  return [catchingUpSection(plan, found), liveSection(plan, found)]
}

async function measure({ servers }: Bench, plan: Plan, { readers }: State): Promise<Figures> {
  const place = { databaseUrl: await wipeServers(servers), redisUrl: servers.redisUrl }
  await countStatementsOf(place.databaseUrl)
  const intake = await startJobyardApi(place, 'redis')
  const workers = await startProductionWorkers(place, 'redis')
  const databaseUrl = await urlOfRole(place.databaseUrl)
  const apiTask: StreamsApiTask = { place: { ...place, databaseUrl }, streams: readers }
  const api = await startService<{ listening: string }>(apiProcess, { task: apiTask })
  const services = [intake, workers, api]
  const look = async () => ({
    statements: await countStatementsBy(place.databaseUrl),
    cpu: await readCpu(api.pid),
    memory: (await readResident(api.pid)) / mebibyte,
    at: performance.now(),
  })
  try {
    const ended = await endJobs(intake.report.listening, place.databaseUrl, plan.ago)
    const load = paceJobs(intake.report.listening, plan.perSecond)
    const first = await look()
    const [pilotUrl, url] = [intake, api].map(({ report }) => `${report.listening}/v1/events`)
    const task: ReadersTask = {
      readers,
      stream: { url: url ?? '', headers, after: ended - plan.ago },
      pilot: { url: pilotUrl ?? '', headers },
    }
    const reading = await startService(readersProcess, { task })
    services.push(reading)
    const caughtUp = await reading.ask<CaughtUp>({ kind: 'caught up' } satisfies ReadersQuestion)
    const second = await look()
    await delay(plan.liveMs)
    const third = await look()
    const position = await waitForHead(place.databaseUrl, ended + (await load.stop()))
    const isLast = await reading.ask<boolean>({ kind: 'come to', position } satisfies ReadersQuestion)
    if (!isLast) throw new Error('A reader was told more than has happened')
    const seconds = (third.at - second.at) / 1_000
    return {
      caughtUp,
      catchingUp: { statements: second.statements - first.statements, cpu: second.cpu - first.cpu },
      live: {
        statements: (third.statements - second.statements) / seconds,
        cpu: (third.cpu - second.cpu) / seconds,
      },
      memory: { before: first.memory, caughtUp: second.memory, after: third.memory },
    }
  } finally {
    await Promise.all(services.map((service) => service.stop()))
  }
}

/** Has so many jobs end. @returns the head of the stream then. */
async function endJobs(api: string, databaseUrl: string, jobs: number): Promise<number> {
  for (let posted = 0; posted < jobs; posted += jobsPerRequest)
    await postJobs(api, Math.min(jobsPerRequest, jobs - posted))
  return waitForHead(databaseUrl, jobs)
}

/** Waits until the stream has come to a position. @throws Error when it goes further, or takes too long. */
async function waitForHead(databaseUrl: string, position: number): Promise<number> {
  const deadline = performance.now() + patienceMs
  const head = await withPostgres(databaseUrl, async (sql) => {
    for (;;) {
      const [row] = await sql<{ head: number }[]>`select head::float8 from stream`
      if ((row?.head ?? 0) >= position || performance.now() > deadline) return row?.head
      await delay(lookEveryMs)
    }
  })
  expectCount('Events', head, position)
  return position
}

function toState(readers: number): State {
  const name = readers === 1 ? 'one reader' : `${readers} readers`
  return { name, note: '', readers }
}

function catchingUpSection({ ago, perSecond }: Plan, found: ReadonlyMap<State, readonly Figures[]>): Section {
  return toSection(found, {
    title: 'Readers of a stream that resume',
    method: `\
Readers of \`GET /v1/events\` connect at once to one API process, each with a \`Last-Event-ID\` of ${ago.toLocaleString('en-US')} events ago, while ${perSecond} jobs a second go on, which another API
process takes. All connections are of one process, and of one key, which is allowed as many streams as the process serves. A reader has caught up when it is where one that had been there all the time, at the other API process, was a tenth of a second ago.
Seconds from the first connection until the last reader has caught up, and until the middle one has; statements and CPU time of the API process meanwhile; its resident memory without a reader, and when all have caught up, in MiB.
Each reader was told every event from there to the last one, in order, and none twice.`,
    unit: 's until all have caught up',
    value: ({ caughtUp }) => caughtUp.ms / 1_000,
    further: {
      'until half have': ({ caughtUp }) => caughtUp.medianMs / 1_000,
      statements: ({ catchingUp }) => catchingUp.statements,
      'CPU s': ({ catchingUp }) => catchingUp.cpu,
      'MiB before': ({ memory }) => memory.before,
      'MiB after': ({ memory }) => memory.caughtUp,
    },
  })
}

function liveSection({ liveMs, perSecond }: Plan, found: ReadonlyMap<State, readonly Figures[]>): Section {
  return toSection(found, {
    title: 'Readers of a stream that are live',
    method: `\
The same readers in the ${liveMs / 1_000} s after all had caught up, at ${perSecond} jobs a second. Statements are those of the API process that serves them, counted by \`pg_stat_statements\`: the process has
a role of its own in Postgres.`,
    unit: 'statements/s',
    value: ({ live }) => live.statements,
    further: {
      'CPU s a second': ({ live }) => live.cpu,
      'MiB at the end': ({ memory }) => memory.after,
    },
  })
}

interface Texts extends Pick<Section, 'title' | 'method' | 'unit'> {
  readonly value: (round: Figures) => number
  readonly further: Readonly<Record<string, (round: Figures) => number>>
}

function toSection(found: ReadonlyMap<State, readonly Figures[]>, { value, further, ...texts }: Texts): Section {
  const rows = [...found].map(([{ name, note }, rounds]): Row => ({
    contestant: name,
    note,
    values: rounds.map(value),
    further: Object.fromEntries(Object.entries(further).map(([heading, pick]) => [heading, rounds.map(pick)])),
  }))
  return { ...texts, better: 'lower', rows, baseline: rows[0]?.contestant ?? '' }
}
