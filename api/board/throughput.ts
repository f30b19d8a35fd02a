import { countFinishedByMinute, type FinishedMinute } from '@jobyard/db/board'
import type { Sql } from '@jobyard/db/connect'

/** Statuses that the board draws a line for. */
export type MeasuredStatus = 'completed' | 'failed'

/** Length of the chart, in minutes. */
export const chartMinutes = 60
/** Minutes whose counts may still change: the one under way, and those that statements under way may yet commit to. */
const openMinutes = 2
const minuteMs = 60_000

/** Counts finished jobs per minute, each past minute only once, so that a board that polls costs next to nothing. */
export class Throughput {
  readonly #sql: Sql
  readonly #tenant: string
  readonly #queue: string
  readonly #closed = new Map<string, number>()

  constructor(sql: Sql, tenant: string, queue: string) {
    this.#sql = sql
    this.#tenant = tenant
    this.#queue = queue
  }

  /** @returns the last {@link chartMinutes} minutes, newest first: the first one is under way. */
  async read(status: MeasuredStatus): Promise<number[]> {
    const open = await this.#count(status, openMinutes)
    const now = open.at(-1)?.minuteMs ?? 0
    const minutes = Array.from({ length: chartMinutes }, (_, age) => now - age * minuteMs)
    const isKnown = minutes.slice(openMinutes).every((minute) => this.#closed.has(keyOf(status, minute)))
    const counted = isKnown ? open : await this.#countAll(status, minutes)
    const byMinute = new Map(counted.map((each) => [each.minuteMs, each.finished]))
    return minutes.map((minute) => byMinute.get(minute) ?? this.#closed.get(keyOf(status, minute)) ?? 0)
  }

  async #countAll(status: MeasuredStatus, minutes: readonly number[]): Promise<FinishedMinute[]> {
    const oldestUnknown = minutes.findLastIndex((minute) => !this.#closed.has(keyOf(status, minute)))
    const counted = await this.#count(status, oldestUnknown + 1)
    this.#forgetBefore(minutes.at(-1) ?? 0)
    for (const { minuteMs: minute, finished } of counted.slice(0, -openMinutes)) {
      this.#closed.set(keyOf(status, minute), finished)
    }
    return counted
  }

  #count(status: MeasuredStatus, minutes: number): Promise<FinishedMinute[]> {
    return countFinishedByMinute(this.#sql, this.#tenant, this.#queue, status, minutes)
  }

  #forgetBefore(oldest: number): void {
    for (const key of this.#closed.keys()) if (Number(key.split(' ')[1]) < oldest) this.#closed.delete(key)
  }
}

function keyOf(status: MeasuredStatus, minute: number): string {
  return `${status} ${minute}`
}
