import { readClock } from '@jobyard/db/clock'
import type { Sql } from '@jobyard/db/connect'
import { newId } from '@jobyard/db/ids'
import { listOccurrences, trigger } from '@jobyard/db/occurrences'
import {
  countSchedules,
  deleteSchedule,
  listSchedules,
  pauseSchedule,
  readSchedule,
  resumeSchedule,
  type ScheduleWithLast,
} from '@jobyard/db/schedules'
import { describeRecurrence } from '@jobyard/queues/recurrence/describe'
import { previewRuns } from '@jobyard/queues/recurrence/preview'
import { RecurrenceError } from '@jobyard/queues/recurrence/recurrence'
import { storedRule, type RuleFields, type ScheduleDefinition } from '@jobyard/queues/schedules/definition'
import { putSchedule } from '@jobyard/queues/schedules/put-schedule'
import { nextFiring, openRule, ruleOf } from '@jobyard/queues/schedules/stored-rule'
import type { TicketSender } from '@jobyard/queues/tickets'
import type { JobActions } from './job-actions.ts'
import { noSuchSchedule, Problem } from './problem.ts'
import type { PreviewSubmission } from './schedule-schemas.ts'
import {
  viewListedSchedule,
  viewOccurrence,
  viewSchedule,
  type OccurrenceView,
  type ScheduleSummaryView,
  type ScheduleView,
} from './schedule-view.ts'

export interface ScheduleActionsOptions {
  readonly sql: Sql
  readonly tickets: TicketSender
  readonly jobs: JobActions
}

/** How often one looks again where somebody else has changed the schedule meanwhile. */
const tries = 3
/** Schedules of one tenant. */
const maxSchedules = 10_000

/** What people do with schedules. Each throws Problem `not-found` where the tenant has no such. */
export class ScheduleActions {
  readonly #options: ScheduleActionsOptions

  constructor(options: ScheduleActionsOptions) {
    this.#options = options
  }

  /**
   * Makes a schedule or changes it; nothing happens where nothing differs.
   *
   * @throws Problem `unknown-job-type`, `validation-failed`, `cron-invalid`, or `conflict` when the schedules file owns it, or when the tenant
   *   has as many as it may.
   */
  async put(
    tenant: string,
    name: string,
    definition: ScheduleDefinition,
  ): Promise<{ schedule: ScheduleView; isNew: boolean }> {
    const { sql, jobs } = this.#options
    const job = jobs.prepare(tenant, definition)
    const { type, queue, input, priority, tags, metadata, maxAttempts, timeoutMs } = job
    const run = { type, queue, input, priority, tags, metadata, maxAttempts, timeoutMs }
    if (!(await readSchedule(sql, tenant, name))) await this.#refuseTooMany(tenant)
    const upserted = await putSchedule(sql, { tenant, name, source: 'api', definition, run }).catch(rethrow)
    if (!upserted) throw ownedByFile(name)
    return { schedule: viewSchedule(await this.#read(tenant, name)), isNew: upserted.change === 'created' }
  }

  /** Changes when it fires, and nothing else of it; what is not said of the rule stays. @throws Problem `cron-invalid`, or `conflict` as {@link put} does. */
  async changeRule(tenant: string, name: string, rule: RuleFields): Promise<void> {
    const { rule: known, source: _, ...row } = await this.#read(tenant, name)
    const { cron = known.cron, everyMs, timeZone = known.timeZone, endsAt = known.endsAt } = rule
    const { skipped, repeated, startsAt, anchor } = known
    const kind =
      everyMs === undefined ? { cron, timeZone, skipped, repeated, seconds: secondsOf(cron) } : { everyMs, anchor }
    await this.put(tenant, name, { ...row, ...kind, startsAt, endsAt, tags: [...row.tags] })
  }

  async get(tenant: string, name: string): Promise<ScheduleView> {
    return viewSchedule(await this.#read(tenant, name))
  }

  /** Lists schedules by name. @param after name of the last one of the page before. */
  async list(tenant: string, limit: number, after: string | undefined): Promise<ScheduleSummaryView[]> {
    return (await listSchedules(this.#options.sql, tenant, { limit, after })).map(viewListedSchedule)
  }

  /** @throws Problem `conflict` when the schedules file owns it. */
  async remove(tenant: string, name: string): Promise<void> {
    if (await deleteSchedule(this.#options.sql, tenant, name, 'api')) return
    await this.#read(tenant, name)
    throw ownedByFile(name)
  }

  /** Keeps it from firing, or lets it go on with its next occurrence: those of the pause are none. */
  async setPaused(tenant: string, name: string, paused: boolean): Promise<ScheduleView> {
    const { sql } = this.#options
    if (paused) await pauseSchedule(sql, tenant, name)
    for (let left = paused ? 0 : tries; left > 0; left--) {
      const [schedule, now] = await Promise.all([this.#read(tenant, name), readClock(sql)])
      if (!schedule.paused) break
      await resumeSchedule(sql, schedule, nextFiring(schedule, openRule(schedule), new Date(now)))
    }
    const schedule = await this.#read(tenant, name)
    if (schedule.paused !== paused) throw new Problem('conflict', 'The schedule is being changed by others. Try again.')
    return viewSchedule(schedule)
  }

  /** Runs it now, whatever its rule says. @returns the id of the job. */
  async trigger(tenant: string, name: string): Promise<string> {
    const { sql, tickets } = this.#options
    const job = await trigger(sql, { tenant, name, jobId: newId() })
    if (!job) throw noSuchSchedule(name)
    await tickets.send([job])
    return job.id
  }

  /** Lists what became of its occurrences, the latest first. @param before place of the last one of the page before. */
  async occurrences(
    tenant: string,
    name: string,
    { limit, before }: { readonly limit: number; readonly before: string | undefined },
  ): Promise<{ items: OccurrenceView[]; next: string | undefined }> {
    const { id } = await this.#read(tenant, name)
    const rows = await listOccurrences(this.#options.sql, id, { limit: limit + 1, before })
    const page = rows.slice(0, limit)
    return { items: page.map(viewOccurrence), next: rows.length > limit ? page.at(-1)?.place : undefined }
  }

  /** Tells when a rule would fire. @throws Problem `cron-invalid`. */
  async preview({ count, after, ...fields }: PreviewSubmission) {
    const from = after === undefined ? new Date(await readClock(this.#options.sql)) : new Date(after)
    const rule = ruleOf({ rule: storedRule(fields), createdAt: from })
    try {
      const details = previewRuns(rule, from, count).map(({ at, ...others }) => ({ at: at.toISOString(), ...others }))
      return { description: describeRecurrence(rule), runs: details.map(({ at }) => at), details }
    } catch (error) {
      return rethrow(error)
    }
  }

  async #refuseTooMany(tenant: string): Promise<void> {
    if ((await countSchedules(this.#options.sql, tenant, { upTo: maxSchedules })) < maxSchedules) return
    throw new Problem('conflict', `There are ${maxSchedules} schedules already. Delete one that is not needed.`)
  }

  async #read(tenant: string, name: string): Promise<ScheduleWithLast> {
    const row = await readSchedule(this.#options.sql, tenant, name)
    if (!row) throw noSuchSchedule(name)
    return row
  }
}

/** What stands about seconds in the rule of an expression. */
const secondsOf = (cron: string | undefined) => cron?.trim().split(/\s+/).length === 6 || undefined

/** @throws Problem `cron-invalid` instead of RecurrenceError. */
function rethrow(error: unknown): never {
  if (!(error instanceof RecurrenceError)) throw error
  const path = error.field
  throw new Problem('cron-invalid', `Mend ${path}: ${error.message.replace(/\.$/, '')}.`, {
    errors: [{ path, message: error.message }],
  })
}

function ownedByFile(name: string): Problem {
  return new Problem(
    'conflict',
    `The schedule "${name}" belongs to the schedules file. Change it there, and restart a worker.`,
  )
}
