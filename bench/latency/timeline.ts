import { setTimeout as delay } from 'node:timers/promises'

/** When each job began and when it was recorded as done, by the job's number, in milliseconds of {@link now}. */
export interface Instants {
  readonly begun: readonly number[]
  readonly settled: readonly number[]
  /** How many of them are settled. */
  readonly count: number
}

/** Pause between two looks at whether all jobs are settled, in milliseconds. */
const lookEveryMs = 20

/** @returns milliseconds by a clock that all processes of this machine share. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1_000_000
}

/** What the worker process writes down. */
export class Timeline {
  #begun: number[] = []
  #settled: number[] = []
  #count = 0

  /** Jobs that are settled so far. */
  get count(): number {
    return this.#count
  }

  /** Called in the first line of the handler. */
  begin(job: number): void {
    this.#begun[job] ??= now()
  }

  /** Called once it is recorded that the job is done. */
  settle(job: number): void {
    if (this.#settled[job] === undefined) this.#count++
    this.#settled[job] ??= now()
  }

  /** Waits until so many jobs are settled, or the time is up; then starts anew. */
  async take(jobs: number, timeoutMs: number): Promise<Instants> {
    const deadline = now() + timeoutMs
    while (this.#count < jobs && now() < deadline) await delay(lookEveryMs)
    const taken = { begun: this.#begun, settled: this.#settled, count: this.#count }
    this.#begun = []
    this.#settled = []
    this.#count = 0
    return taken
  }
}
