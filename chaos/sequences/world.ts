import type { Run } from '@jobyard/workers/ownership'
import type { Scheduler } from 'fast-check'
import { passTime, wearOut } from './ledger.ts'
import { look, sameAround, sameJob, type Found } from './look.ts'
import { nobody, type Around, type Job } from './model.ts'
import { explain, type Act } from './orders.ts'
import type { Stage, WorkerProcess } from './stage.ts'

/** One thing that somebody does: a call of the platform's own code. */
export interface Operation {
  readonly label: string
  /** The process whose heart makes the call: such calls of one process never overlap. */
  readonly process?: WorkerProcess
  /** Makes the call. */
  readonly send: () => Promise<Sent>
}

/** A call that was answered. */
export interface Sent {
  /** What it did, for the model to judge; in order. */
  readonly acts: readonly Act[]
  /** What the caller does with the answer. */
  readonly deliver?: () => unknown
}

/** When a call reaches the record, and when its answer reaches the caller: `never` if it was given up. */
export interface Timing {
  readonly starts: 'now' | 'later'
  readonly reply: 'now' | 'later' | 'never'
}

type Violation = Found['violations'][number]

/** Thrown when the record is not as it must be. */
export class ViolationError extends Error {
  override readonly name = 'ViolationError'
  /** Names of the invariants that do not hold. */
  readonly invariants: readonly string[]

  constructor(violations: readonly Violation[], trace: readonly string[]) {
    const lines = violations.map(({ invariant, what }) => `${invariant}: ${what}`)
    super(`${lines.join('\n')}\nafter\n  ${trace.join('\n  ')}`)
    this.invariants = [...new Set(violations.map(({ invariant }) => invariant))]
  }
}

/** Judged besides the invariants of invariants.ts. */
export const judgements = {
  refused: 'no statement is refused',
  explained: 'some order of the statements explains the record and every answer',
  ended: 'every accepted job ends after healing',
  emptied: 'nothing is left of jobs that were pruned',
} as const

interface UnderWay {
  readonly label: string
  readonly process: WorkerProcess | undefined
  readonly reply: Timing['reply']
  readonly sent: Promise<Sent>
  over: boolean
}

/** Rows are locked, so that calls gather in front of them. */
interface Hold {
  /** Calls that are to gather. */
  readonly room: number
  release(): Promise<void>
}

/** Calls under way at once; with more, the orders to try grow too many. */
const mostUnderWay = 4
const prompt: Timing = { starts: 'now', reply: 'now' }

/** @returns one call that makes several, one after the other. */
export function inOrder(operations: readonly Operation[]): Operation {
  return {
    label: operations.map(({ label }) => label).join(', then '),
    send: async () => {
      const sent: Sent[] = []
      for (const operation of operations) sent.push(await operation.send())
      return {
        acts: sent.flatMap(({ acts }) => acts),
        deliver: async () => {
          for (const { deliver } of sent) await deliver?.()
        },
      }
    },
  }
}

/** One sequence: the record, everybody who works on it, and the model. */
export class World {
  readonly stage: Stage
  readonly jobs = new Map<string, Job>()
  /** What jobs share, by their ids, whether they were made or not. */
  readonly deduplications = new Map<string, string>()
  around: Around = { now: 0, paused: false, workers: new Map(), keys: new Map(), crowded: false }
  readonly processes: WorkerProcess[] = []
  /** Every run there was, also those that are over. */
  readonly runs: Run[] = []
  readonly trace: string[] = []
  /** Looks at the record. */
  steps = 0
  /** Looks after several calls at the same time. */
  crowds = 0
  readonly #scheduler: Scheduler
  #underWay: UnderWay[] = []
  #hold: Hold | undefined
  #failure: Error | undefined

  constructor(stage: Stage, scheduler: Scheduler) {
    this.stage = stage
    this.#scheduler = scheduler
  }

  /** Makes a call, now or when the scheduler says so. Unless calls gather, waits for all that are under way, and judges them. */
  async perform(operation: Operation, timing: Timing = prompt): Promise<void> {
    if (timing.starts === 'later') {
      this.#schedule(`start ${operation.label}`, () => this.#start(operation, timing.reply))
      return
    }
    await this.#start(operation, timing.reply)
    if (!this.#hold || this.#underWay.length >= this.#hold.room) await this.becomeQuiet()
  }

  /** Locks rows, or the whole table of deduplications, until `room` calls have gathered in front of them. */
  async hold(table: 'jobs' | 'workers' | 'deduplications', room: number): Promise<void> {
    await this.becomeQuiet()
    const { transactions } = this.stage.db
    const locked = Promise.withResolvers<void>()
    const unlock = Promise.withResolvers<void>()
    const over = transactions.run(async (sql) => {
      if (table === 'deduplications') await sql`lock table deduplications in share mode`
      else await sql`select id from ${sql(table)} order by id for update`
      locked.resolve()
      await unlock.promise
    })
    over.catch(locked.reject)
    await locked.promise
    this.trace.push(`${table} are locked`)
    this.#hold = {
      room,
      release: () => {
        this.trace.push(`${table} are unlocked`)
        unlock.resolve()
        return over
      },
    }
  }

  /** Moves everything in the record into the past. */
  async passTime(minutes: number): Promise<void> {
    await this.becomeQuiet()
    this.trace.push(`${minutes} minutes pass`)
    await passTime(this.stage.db.sql, minutes)
    this.around = { ...this.around, now: this.around.now + minutes }
  }

  /** Makes a queued job look as if it had been claimed too often. */
  async wearOut(id: string): Promise<void> {
    await this.becomeQuiet()
    const job = this.jobs.get(id)
    if (job?.status !== 'queued') return
    this.trace.push(`${id} is worn out`)
    await wearOut(this.stage.db.sql, id)
    this.jobs.set(id, { ...job, epoch: 1_000 })
  }

  /** Waits for all calls under way and judges what they did. @throws ViolationError */
  async becomeQuiet(): Promise<void> {
    if (this.#failure) throw this.#failure
    const held = this.#hold !== undefined
    await this.#hold?.release()
    this.#hold = undefined
    const calls = this.#underWay
    this.#underWay = []
    if (calls.length === 0) return
    const answers = await Promise.allSettled(calls.map(({ sent }) => sent))
    const refused = answers.flatMap((answer, n) => (answer.status === 'rejected' ? [[calls[n], answer.reason]] : []))
    if (refused.length > 0) {
      const violations = refused.map(([call, reason]) => ({
        invariant: judgements.refused,
        what: `${(call as UnderWay).label}: ${String(reason)}`,
      }))
      throw this.#fail(new ViolationError(violations, this.trace))
    }
    const sent = answers.map((answer) => (answer as PromiseFulfilledResult<Sent>).value)
    await this.#judge(
      sent.map(({ acts }) => acts),
      held || calls.length > 1,
    )
    for (const [n, { label, reply }] of calls.entries()) await this.#deliver(label, reply, sent[n] as Sent)
  }

  /** Lets go of everything, whatever became of the sequence. */
  async abandon(): Promise<void> {
    await this.#hold?.release().catch(() => {})
    await Promise.allSettled(this.#underWay.map(({ sent }) => sent))
  }

  async #deliver(label: string, reply: Timing['reply'], { deliver }: Sent): Promise<void> {
    if (!deliver || reply === 'never') return
    if (reply === 'now') await deliver()
    else
      this.#schedule(`reply to ${label}`, async () => {
        await this.becomeQuiet()
        this.trace.push(`reply to ${label}`)
        await deliver()
      })
  }

  async #start({ label, process, send }: Operation, reply: Timing['reply']): Promise<void> {
    const overlaps = process && this.#underWay.some((call) => call.process === process)
    if (overlaps || this.#underWay.length >= mostUnderWay) await this.becomeQuiet()
    this.trace.push(label)
    const sent = send()
    const call: UnderWay = { label, process, reply, sent, over: false }
    const onAnswer = () => void (call.over = true)
    sent.then(onAnswer, onAnswer)
    this.#underWay.push(call)
    if (this.#hold) await this.#untilAllWait()
  }

  /** Waits until each call is answered or waits for a lock, so that calls queue for it in the order of their start. */
  async #untilAllWait(): Promise<void> {
    const isOpen = () => this.#underWay.filter(({ over }) => !over).length
    for (let waiting = -1; waiting < isOpen();) {
      const [row] = await this.stage.db.sql<{ waiting: number }[]>`
        select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      waiting = row?.waiting ?? 0
    }
  }

  /** Leaves it to the scheduler when something happens. */
  #schedule(label: string, work: () => Promise<void>): void {
    const builder = () => work().catch((error: unknown) => void this.#fail(error as Error))
    this.#scheduler.scheduleSequence([{ label, builder }])
  }

  async #judge(sequences: readonly (readonly Act[])[], crowded: boolean): Promise<void> {
    const found = await look(this.stage.db.sql)
    this.steps++
    if (sequences.length > 1) this.crowds++
    const violations = [...found.violations, ...this.#unexplained(sequences, found, crowded)]
    if (violations.length > 0) throw this.#fail(new ViolationError(violations, this.trace))
  }

  /** Brings the model in step with what was found, and tells what it cannot explain. */
  #unexplained(sequences: readonly (readonly Act[])[], found: Found, crowded: boolean): Violation[] {
    const around = { ...this.around, crowded }
    const jobs = new Map(found.jobs.map((job) => [job.id, job]))
    const unexplained: string[] = []
    for (const id of new Set([nobody, ...this.jobs.keys(), ...jobs.keys()])) {
      const job = this.jobs.get(id)
      const reached = explain(
        { job, around },
        sequences,
        id,
        (state) => sameJob(state.job, jobs.get(id)) && sameAround(state.around, found),
      )
      if (!reached) unexplained.push(describe(id, job, jobs.get(id), sequences))
      else if (id === nobody) this.around = { ...reached.around, crowded: false }
      else if (reached.job) this.jobs.set(id, reached.job)
      else this.jobs.delete(id)
    }
    return unexplained.map((what) => ({ invariant: judgements.explained, what }))
  }

  #fail(error: Error): Error {
    this.#failure ??= error
    return this.#failure
  }
}

function describe(id: string, before: unknown, after: unknown, sequences: readonly (readonly Act[])[]): string {
  const answers = sequences.map((acts) => acts.map(({ answered }) => answered(id) ?? 'nothing').join(', then '))
  return `${id === nobody ? 'the surroundings' : id} was ${JSON.stringify(before)}, is ${JSON.stringify(after)}, answered: ${answers.join(' | ')}`
}
