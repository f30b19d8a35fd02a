import type { Place } from '../accept/rivals.ts'
import type { Bench, Part, Section } from '../bench.ts'
import { measureSpeedAt, scale } from '../process/measure.ts'
import { measureInTurns, type Named } from '../rounds.ts'
import { wipeServers } from '../servers.ts'
import { carriers, type Carrier } from './carriers.ts'
import { describeFill, fillFinished, jobsPerEnding, spreadDays, tidyUp, type FilledDatabase } from './finished-jobs.ts'
import { expectProc } from './processes.ts'
import { loadTimes, measureHalfLoad, measureUnderLoad, tellStates, type Figures, type Texts } from './state.ts'

/** A record that holds so many finished jobs. */
interface State extends Named {
  /** Brings the servers into this state. */
  prepare(): Promise<Place>
}

const wholeSizes = [1_000_000, 10_000_000]
const quickSizes = [20_000]

/** What the jobs that have ended cost those that run: speed, latency and memory beside none, a million and ten million. */
export const finished: Part = async (bench) => {
  expectProc()
  const states = [nothingFinished(bench)]
  for (const jobs of bench.quick ? quickSizes : wholeSizes) states.push(await finishedJobs(bench, jobs))
  const sections: Section[] = []
  for (const carrier of carriers) {
    const perSecond = await measureHalfLoad(bench, carrier)
    const found = await measureInTurns(bench, states, (state) => measure(bench, carrier, state, perSecond))
    sections.push(...tellStates(carrier, texts(bench), found))
  }
  return sections
}

async function measure(bench: Bench, carrier: Carrier, state: State, load: number): Promise<Figures> {
  const perSecond = await measureSpeedAt(await state.prepare(), bench, scale(bench, carrier.speed))
  return { perSecond, ...(await measureUnderLoad(bench, carrier, await state.prepare(), load)) }
}

function nothingFinished({ servers }: Bench): State {
  return {
    name: 'no finished jobs',
    note: 'a new database',
    prepare: async () => ({ databaseUrl: await wipeServers(servers), redisUrl: servers.redisUrl }),
  }
}

async function finishedJobs(bench: Bench, jobs: number): Promise<State> {
  const { servers } = bench
  const database: FilledDatabase = await fillFinished(bench, jobs)
  return {
    name: `${jobs.toLocaleString('en-US')} finished jobs`,
    note: `filled in: ${describeFill(database)}`,
    prepare: async () => {
      await tidyUp(servers, database)
      return { databaseUrl: database.url, redisUrl: servers.redisUrl }
    },
  }
}

function texts(bench: Bench): Texts {
  const { warmUpMs, measuredMs } = loadTimes(bench)
  return {
    speed: {
      title: 'Processing beside finished jobs',
      method: `\
The no-op jobs of [RESULTS.md](RESULTS.md), done by one worker process, in a database that holds jobs which ended before. Those are
not run one by one: a job is processed for real, and its rows (the job, its outbox event, its place in an ending of
${jobsPerEnding} jobs) are copied by statements with ids, times and values of their own, spread over the last ${spreadDays} days, on pages as full as the platform leaves them; then the tables are
vacuumed. Nothing of it is old enough to be deleted. A filled database lives through all rounds and keeps the jobs of
earlier measurements too; the empty one is new each time. Counted and checked are the jobs of the measurement alone, which the primary
key leads to. Before each measurement Redis is emptied, and Postgres is analyzed and makes a checkpoint.`,
    },
    latency: {
      title: 'Latency beside finished jobs',
      method: `\
In the same databases: requests over HTTP at a steady rate that is the same for all states, half of the capacity that the empty platform had shown
before the rounds; ${measuredMs / 1_000} s after ${warmUpMs / 1_000} s of warm-up, and after as long a time with all the load that the processes could take. Milliseconds from the moment a request was due until the first line of the handler (begun)
and until its result was committed (recorded). Every job that was sent was done.`,
    },
    footprint: { title: 'Memory beside finished jobs' },
  }
}
