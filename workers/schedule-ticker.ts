import { cancelJob } from '@jobyard/db/cancel'
import { errorCode, isRowError, type Database } from '@jobyard/db/connect'
import { dueLimit, findDue, fire, type DueSchedule, type Firing } from '@jobyard/db/occurrences'
import type { Recurrence } from '@jobyard/queues/recurrence/recurrence'
import { planFiring } from '@jobyard/queues/schedules/plan-firing'
import { openRule } from '@jobyard/queues/schedules/stored-rule'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { Logger } from 'pino'

/** Longest sleep, in milliseconds: a schedule that is new or changed may be due before all that was known. */
const longestSleepMs = 500
/** Pause after a round in which others had everything in hand, in milliseconds. */
const othersMs = 25
/** Occurrences of one statement, and bytes of their inputs, beyond a single schedule's. */
const maxOccurrences = 1_000
const maxBytes = 4 * 1_048_576
/** Time that planning may take before what is planned is fired, in milliseconds: nothing else runs meanwhile. */
const planningMs = 100
/** Rules that are kept open; one takes 80 KB. */
const maxOpen = 1_000
/** Wait before a schedule that cannot be fired is looked at again, in milliseconds. */
const setAsideMs = 3_600_000
const statementCancelled = '57014'

export interface ScheduleTickerOptions {
  readonly sql: Database['sql']
  readonly tickets: TicketSender
  /** Called when jobs were cancelled, or occurrences missed: there are events without a place. */
  readonly onEvent: () => void
  readonly log: Logger
}

/** Makes jobs of the occurrences of schedules. Any number of processes may: what decides is the row of the schedule. */
export class ScheduleTicker {
  readonly #options: ScheduleTickerOptions
  readonly #open = new Map<string, Recurrence>()

  constructor(options: ScheduleTickerOptions) {
    this.#options = options
  }

  /** Fires what is due. @returns whether there may be more, or the milliseconds after which there may be. */
  async runOnce(): Promise<boolean | number> {
    const { sql } = this.#options
    const { schedules, nextInMs } = await findDue(sql)
    if (schedules.length === 0) return Math.max(Math.min(nextInMs ?? longestSleepMs, longestSleepMs), 1)
    const firings = this.#planSome(schedules)
    await this.#cancelPrevious(firings)
    if (!(await this.#fire(firings))) return othersMs
    return firings.length < schedules.length || schedules.length === dueLimit || 1
  }

  /** Plans one schedule at least, and no more than one statement can bear. */
  #planSome(schedules: readonly DueSchedule[]): Firing[] {
    const startedAt = performance.now()
    const firings: Firing[] = []
    let [occurrences, bytes] = [0, 0]
    for (const schedule of schedules) {
      const firing = this.#plan(schedule)
      occurrences += firing.occurrences.length
      bytes += firing.occurrences.length * schedule.bytes
      if (firings.length > 0 && (occurrences > maxOccurrences || bytes > maxBytes)) break
      firings.push(firing)
      if (performance.now() - startedAt > planningMs) break
    }
    return firings
  }

  #plan(schedule: DueSchedule): Firing {
    try {
      return planFiring(schedule, this.#recurrence(schedule))
    } catch (error) {
      return this.#setAside(schedule, error)
    }
  }

  /** Many schedules have the same rule. */
  #recurrence(schedule: DueSchedule): Recurrence {
    const { rule, createdAt } = schedule
    const key = JSON.stringify([rule, rule.everyMs === undefined ? undefined : createdAt])
    const recurrence = this.#open.get(key) ?? openRule(schedule)
    if (this.#open.size >= maxOpen) this.#open.clear()
    this.#open.set(key, recurrence)
    return recurrence
  }

  /** Runs that are to give way are cancelled before their successor is made: whoever dies in between leaves both to the next. */
  async #cancelPrevious(firings: readonly Firing[]): Promise<void> {
    for (const { schedule, occurrences } of firings) {
      const { tenant, overlap, lastJobId, isRunning } = schedule
      const hasSuccessor = occurrences.some(({ outcome }) => outcome === 'due')
      if (overlap !== 'cancel-previous' || !lastJobId || !isRunning || !hasSuccessor) continue
      const cancelled = await cancelJob(this.#options.sql, tenant, lastJobId)
      if (cancelled?.changed) this.#options.onEvent()
    }
  }

  /** Fires together; if one of them cannot be stored, finds it and sets it aside. @returns whether any of it was for us to do. */
  async #fire(firings: readonly Firing[]): Promise<boolean> {
    const { sql, tickets, onEvent } = this.#options
    try {
      const { jobs, taken } = await fire(sql, firings)
      await tickets.send(jobs)
      if (firings.some(({ missed }) => missed)) onEvent()
      return taken > 0
    } catch (error) {
      if (!isRowError(error) && errorCode(error) !== statementCancelled) throw error
      const [first] = firings
      const half = firings.length >> 1
      if (half > 0) {
        const before = await this.#fire(firings.slice(0, half))
        return (await this.#fire(firings.slice(half))) || before
      }
      return first !== undefined && (await fire(sql, [this.#setAside(first.schedule, error)])).taken > 0
    }
  }

  #setAside(schedule: DueSchedule, error: unknown): Firing {
    const { tenant, name, nextAt, now } = schedule
    this.#options.log.error({ err: error, tenant, schedule: name }, 'A schedule cannot be fired, and waits for an hour')
    return { schedule, occurrences: [], next: { nextAt, dueAt: new Date(now.getTime() + setAsideMs) } }
  }
}
