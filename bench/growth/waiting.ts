import type { Place } from '../accept/rivals.ts'
import type { Bench, Part, Section } from '../bench.ts'
import { measureInTurns, type Named } from '../rounds.ts'
import { restServers, wipeServers } from '../servers.ts'
import { loadBacklog, takeFirst } from './backlog.ts'
import { carriers, type Carrier } from './carriers.ts'
import { expectProc } from './processes.ts'
import { loadTimes, measureHalfLoad, measureUnderLoad, tellStates, type Figures, type Texts } from './state.ts'

/** A record in which so many jobs wait. */
interface State extends Named {
  /** 0: just enough for the worker that does some. */
  readonly waiting: number
}

interface Plan {
  /** How many jobs wait, in each state but the first. */
  readonly sizes: readonly number[]
  /** Jobs that are done of those that wait. */
  readonly taken: number
}

const wholePlan: Plan = { sizes: [100_000, 1_000_000], taken: 30_000 }
const quickPlan: Plan = { sizes: [5_000], taken: 1_000 }
/** How many times as many as are done wait in the first state: so that the worker does not run dry. */
const spare = 1.2
/** Rest between loading and measuring, in milliseconds; a quick run has none. */
const restMs = 500

/** What jobs that wait cost those that run: speed, latency and memory with hardly any others, a hundred thousand and a million. */
export const waiting: Part = async (bench) => {
  expectProc()
  const plan = bench.quick ? quickPlan : wholePlan
  const states = [0, ...plan.sizes].map(toState)
  const sections: Section[] = []
  for (const carrier of carriers) {
    const perSecond = await measureHalfLoad(bench, carrier)
    const found = await measureInTurns(bench, states, (state) => measure(bench, carrier, plan, state, perSecond))
    sections.push(...tellStates(carrier, texts(bench, plan), found))
  }
  return sections
}

/** Jobs are loaded once for both: they wait in their queue while those of another are measured, then they are worked off. */
async function measure(
  bench: Bench,
  carrier: Carrier,
  { taken }: Plan,
  { waiting }: State,
  load: number,
): Promise<Figures> {
  const { servers, quick } = bench
  const place: Place = { databaseUrl: await wipeServers(servers), redisUrl: servers.redisUrl }
  const rest = () => restServers(place.databaseUrl, quick ? 0 : restMs)
  if (waiting > 0) await loadBacklog(place, carrier.kind, waiting)
  await rest()
  const underLoad = await measureUnderLoad(bench, carrier, place, load)
  const enough = waiting || taken * spare
  if (waiting === 0) await loadBacklog(place, carrier.kind, enough)
  await rest()
  return { ...underLoad, perSecond: await takeFirst(place, carrier.kind, enough, taken) }
}

function toState(waiting: number): State {
  if (waiting === 0)
    return {
      name: 'no backlog',
      note: 'only jobs that are measured, and a fifth more in the queue that is worked off',
      waiting,
    }
  return { name: `${waiting.toLocaleString('en-US')} waiting jobs`, note: 'accepted by the platform itself', waiting }
}

function texts(bench: Bench, { taken }: Plan): Texts {
  const { warmUpMs, measuredMs } = loadTimes(bench)
  return {
    speed: {
      title: 'Processing the first of many waiting jobs',
      method: `\
One worker process does the first ${taken.toLocaleString('en-US')} jobs of those that wait in a queue: no-op jobs, which the platform has accepted itself. The first tenth is
warm-up; the clock runs from its end until the handler of the last one has ended; then the worker is stopped. Checked is that
each job that was handled is recorded, once, and that all others wait still. Where there is no backlog, a fifth more wait than are
done, so that the worker does not run dry. Each measurement begins with empty servers; before it,
Postgres is analyzed and makes a checkpoint.`,
    },
    latency: {
      title: 'Latency beside jobs that wait in another queue',
      method: `\
As beside finished jobs: requests over HTTP at a steady rate that is the same for all states, half of the capacity that the empty platform had shown
before the rounds; ${measuredMs / 1_000} s after ${warmUpMs / 1_000} s of warm-up, and after as long a time with all the load that the processes could take. Meanwhile the jobs of the table above wait in a queue of their own, which no worker serves; where there is no
backlog, none does. Milliseconds from the moment a request was due until the first line of the handler (begun) and until its result was
committed (recorded). Every job that was sent was done.`,
    },
    footprint: { title: 'Memory beside waiting jobs' },
  }
}
