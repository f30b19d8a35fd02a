import type { CarrierKind } from '@jobyard/testing/platform'
import { Client, type ClientOptions } from '../load/client.ts'
import { Ledger } from '../load/ledger.ts'
import { quickWish } from '../load/wishes.ts'
import { awaitEnds, judge, type Verdict } from '../oracle.ts'
import type { Random } from '../random.ts'
import type { Violation } from '../report.ts'
import { openStage, type Stage, type StageOptions } from '../stage/stage.ts'

/** One row of the table of faults, tried on one carrier. */
export interface Trial {
  /** Number of the row in docs/reliability.md. */
  readonly row: number
  /** What goes wrong, in a few words. */
  readonly name: string
  /** Carriers that it can strike; both when absent. */
  readonly carriers?: readonly CarrierKind[]
  /** Minutes that it takes, where that is more than one; such trials are left out of quick runs. */
  readonly minutes?: number
  readonly run: (context: TrialContext) => Promise<void>
}

/** Time that every accepted job has to end in once everything is healed, in milliseconds. */
const endsWithinMs = 60_000

/** What a trial works with, and where it tells what it has seen. */
export class TrialContext {
  readonly carrier: CarrierKind
  readonly random: Random
  readonly ledger = new Ledger()
  readonly violations: Violation[] = []
  readonly verdicts: Verdict[] = []
  readonly recoveries: Record<string, number[]> = {}
  readonly figures: Record<string, number> = {}
  readonly faults: Record<string, number> = {}
  readonly #log: { at: Date; what: string }[] = []
  readonly #open: { stage: Stage; clients: Client[] }[] = []
  readonly #afterwards: (() => Promise<void>)[] = []

  constructor(carrier: CarrierKind, random: Random) {
    this.carrier = carrier
    this.random = random
  }

  /** Opens a stage that is closed at the end of the trial. */
  async stage(options: Omit<StageOptions, 'carrier'> = {}): Promise<Stage> {
    const stage = await openStage({ carrier: this.carrier, onDeath: (line) => this.#tell(line), ...options })
    this.#open.push({ stage, clients: [] })
    return stage
  }

  /** A client that writes into the ledger of this trial; start it. It is stopped by {@link endWell}. */
  client(stage: Stage, options: Partial<ClientOptions> = {}): Client {
    const random = this.random.fork()
    const client = new Client({
      api: () => stage.api(random),
      ledger: this.ledger,
      random: this.random.fork(),
      wish: quickWish,
      ...options,
    })
    this.#open.find((each) => each.stage === stage)?.clients.push(client)
    return client
  }

  /** Notes that a fault was injected. */
  injected(name: string, what = ''): void {
    this.faults[name] = (this.faults[name] ?? 0) + 1
    this.#tell(`${name} ${what}`)
  }

  /** Notes a time of recovery, in milliseconds. */
  recovered(name: string, ms: number): void {
    ;(this.recoveries[name] ??= []).push(ms)
  }

  /** Notes what was promised and did not hold. */
  expect(holds: boolean, invariant: string, what: string, timeline: readonly string[] = []): void {
    if (!holds) this.violations.push({ invariant, what, timeline })
  }

  /** Heals the stage, stops its clients, waits for every job to end, and compares the record with the ledger. */
  async endWell(stage: Stage): Promise<Verdict> {
    await stage.heal()
    const clients = this.#open.find((each) => each.stage === stage)?.clients ?? []
    await Promise.all(clients.map((client) => client.stop()))
    const ended = await awaitEnds(stage.db, endsWithinMs)
    this.expect(ended !== undefined, 'I1', `Not every job has ended ${endsWithinMs / 1_000} s after healing`)
    const verdict = await judge(stage.db, this.ledger, this.#log)
    this.verdicts.push(verdict)
    this.violations.push(...verdict.violations)
    return verdict
  }

  /** Does something when the trial has ended and its stages are closed; the last first. */
  afterwards(step: () => Promise<void>): void {
    this.#afterwards.unshift(step)
  }

  /** Ends everything. Stages of a trial that broke a promise leave their logs. */
  async close(): Promise<void> {
    for (const { stage } of this.#open) await stage.close(this.violations.length > 0)
    for (const step of this.#afterwards) await step()
  }

  #tell(what: string): void {
    this.#log.push({ at: new Date(), what })
  }
}
