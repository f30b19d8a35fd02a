import { setTimeout as delay } from 'node:timers/promises'
import type { Database } from '@jobyard/db/connect'
import type { Entry, Ledger } from './load/ledger.ts'
import type { Violation } from './report.ts'
import { timelineOf, type NemesisLog } from './timeline.ts'

/** What became of the jobs that a client was promised. */
export interface Verdict {
  readonly lost: number
  readonly doubled: number
  readonly eventsMissing: number
  /** Jobs that ended as failed because each of three processes that ran them had been killed: promised, and rare. */
  readonly crashLoops: number
  /** The first few of each kind, with all that is known about the job. */
  readonly violations: readonly Violation[]
}

interface StoredJob {
  readonly id: string
  readonly key: string | null
  readonly status: string
  readonly input: { value?: unknown }
  readonly output: { value?: unknown } | null
  /** False where there is none; JSON's null is one. */
  readonly hasOutput: boolean
  readonly error: { reason: string } | null
  readonly attemptsMade: number
  readonly crashes: number
  /** Attempts that failed or timed out. */
  readonly failures: number
  readonly events: string[]
  readonly endings: number
}

/** Violations of a kind that are told with their timeline. */
const toldOfEachKind = 3
const pageSize = 5_000

/**
 * Waits until every job in the record has ended. Deliveries are none of these: those to a receiver that fails are repeated for days.
 *
 * @returns the time it took, in milliseconds, or undefined when some have not ended after `withinMs`.
 */
export async function awaitEnds({ sql }: Database, withinMs: number): Promise<number | undefined> {
  const startedAt = performance.now()
  while (performance.now() - startedAt < withinMs) {
    const open = await sql<
      { n: number }[]
    >`select count(*)::int as n from jobs where finished_at is null and not internal`
    if (open[0]?.n === 0) return performance.now() - startedAt
    await delay(200)
  }
  return undefined
}

/** Compares what the client was told with what stands in the record; nothing of the platform may be under way. */
export async function judge(db: Database, ledger: Ledger, log: NemesisLog = []): Promise<Verdict> {
  const stored = await readJobs(db)
  const verdict = new VerdictMaker(db, log)
  const idsByKey = new Map<string, string>()
  for (const job of stored.values()) {
    if (job.key !== null && idsByKey.has(job.key)) {
      await verdict.add('I8', 'doubled', `The key ${job.key} made two jobs`, job, ledger.find(job.key))
    }
    if (job.key !== null) idsByKey.set(job.key, job.id)
    for (const [invariant, kind, what] of faultsOf(job)) {
      await verdict.add(invariant, kind, what, job, job.key === null ? undefined : ledger.find(job.key))
    }
  }
  for (const entry of ledger.sent) {
    const job = entry.id === undefined ? undefined : stored.get(entry.id)
    for (const [invariant, kind, what] of entry.id === undefined ? refusals(entry) : promisesBroken(entry, job)) {
      await verdict.add(invariant, kind, what, job, entry)
    }
  }
  for (const what of await transactionFaults(db)) await verdict.add('P4', 'doubled', what, undefined, undefined)
  for (const what of await strayEvents(db)) await verdict.add('I4', 'doubled', what, undefined, undefined)
  return verdict.made([...stored.values()].filter(isCrashLoop).length)
}

type Kind = 'lost' | 'doubled' | 'eventsMissing' | 'other'
type Fault = readonly [invariant: string, kind: Kind, what: string]

/** What is wrong with a row by itself. */
function* faultsOf(job: StoredJob): Iterable<Fault> {
  const { status, events, endings } = job
  if (!['completed', 'failed', 'cancelled'].includes(status)) yield ['I1', 'lost', `It has not ended: it is ${status}`]
  else if (events.length === 0) yield ['I4', 'eventsMissing', `It ended as ${status}, without an event`]
  else if (events.length > 1 || events[0] !== `job.${status}`) {
    yield ['I2', 'doubled', `It ended as ${status}, with the events ${events.join(', ')}`]
  }
  if (endings > 1) yield ['I2', 'doubled', `It ended ${endings} times`]
  if ((status === 'completed') !== job.hasOutput)
    yield ['I2', 'doubled', `It is ${status}, with output ${job.hasOutput}`]
}

/** What is wrong with an accepted job, seen from what the client was told. */
function* promisesBroken({ wish, cancel }: Entry, job: StoredJob | undefined): Iterable<Fault> {
  if (!job) return yield ['I1', 'lost', 'It was accepted, and there is no such job']
  const { status, attemptsMade, failures } = job
  if (status === 'completed') {
    if (wish.type === 'echo' && job.output?.value !== wish.input['value']) {
      yield ['I2', 'doubled', `Its output is not its own: ${JSON.stringify(job.output)}`]
    }
    if (attemptsMade !== wish.failures + 1 || failures !== wish.failures) {
      yield ['I6', 'other', `It cost ${attemptsMade} attempts, ${failures} of them failed, where ${wish.failures} fail`]
    }
  } else if (status === 'cancelled' && cancel === undefined) {
    yield ['I2', 'other', 'It was cancelled, and nobody had asked for it']
  } else if (status === 'failed' && !isCrashLoop(job)) {
    yield ['I6', 'other', `It failed: ${JSON.stringify(job.error)}`]
  }
}

function* refusals({ seen }: Entry): Iterable<Fault> {
  const refusal = seen.find((answer) => /^4\d\d /.test(answer) && !answer.startsWith('429'))
  if (refusal) yield ['I1', 'other', `It was refused: ${refusal}`]
}

function isCrashLoop({ status, error }: StoredJob): boolean {
  return status === 'failed' && error?.reason === 'crash_loop'
}

/** Effects of handlers that write in the transaction of their result: one for each completed job, none for others. */
async function transactionFaults({ sql }: Database): Promise<string[]> {
  const [row] = await sql<{ counted: number; completed: number }[]>`
    select (select coalesce(sum(events), 0)::int from github_activity) as counted,
      (select count(*)::int from jobs where type = 'github.event' and status = 'completed') as completed`
  return row && row.counted !== row.completed
    ? [`${row.completed} jobs with a transaction completed, and their effects count ${row.counted}`]
    : []
}

async function strayEvents({ sql }: Database): Promise<string[]> {
  const [row] = await sql<{ events: number; ended: number }[]>`
    select (select count(*)::int from outbox where data is null) as events,
      (select count(*)::int from jobs where finished_at is not null and not internal) as ended`
  return row && row.events > row.ended ? [`${row.ended} jobs have ended, and there are ${row.events} events`] : []
}

async function readJobs({ sql }: Database): Promise<Map<string, StoredJob>> {
  const jobs = new Map<string, StoredJob>()
  const times = await endingsOf(sql)
  for (let after = '00000000-0000-0000-0000-000000000000'; ;) {
    const page = await sql<StoredJob[]>`
      select j.id, j.metadata->>'key' as key, j.status, j.input, j.output, j.output is not null as has_output, j.error, j.attempts_made, j.crashes,
        (select count(*)::int from attempts a where a.job_id = j.id and a.outcome in ('failed', 'timed_out')) as failures,
        array(select o.type from outbox o where o.id = j.id) as events
      from jobs j where j.id > ${after} and not j.internal order by j.id limit ${pageSize}`
    for (const job of page) jobs.set(job.id, { ...job, endings: times.get(job.id) ?? 0 })
    const last = page.at(-1)
    if (!last) return jobs
    after = last.id
  }
}

async function endingsOf(sql: Database['sql']): Promise<Map<string, number>> {
  const times = new Map<string, number>()
  for (const { jobIds } of await sql<{ jobIds: string[] }[]>`select job_ids from endings`) {
    for (const id of jobIds) times.set(id, (times.get(id) ?? 0) + 1)
  }
  return times
}

class VerdictMaker {
  readonly #db: Database
  readonly #log: NemesisLog
  readonly #counts = { lost: 0, doubled: 0, eventsMissing: 0, other: 0 }
  readonly #violations: Violation[] = []
  readonly #told = new Map<string, number>()

  constructor(db: Database, log: NemesisLog) {
    this.#db = db
    this.#log = log
  }

  async add(invariant: string, kind: Kind, what: string, job: StoredJob | undefined, entry: Entry | undefined) {
    this.#counts[kind]++
    const told = this.#told.get(invariant + kind) ?? 0
    if (told >= toldOfEachKind) return
    this.#told.set(invariant + kind, told + 1)
    const id = job?.id ?? entry?.id
    this.#violations.push({
      invariant,
      what: `${what} (job ${id ?? entry?.key ?? 'unknown'})`,
      timeline: await timelineOf(this.#db, id, entry, this.#log),
    })
  }

  made(crashLoops: number): Verdict {
    const { lost, doubled, eventsMissing } = this.#counts
    return { lost, doubled, eventsMissing, crashLoops, violations: this.#violations }
  }
}
