import { BaseAdapter } from '@bull-board/api/dist/queueAdapters/base.js'
import type { JobSchedulerRepeatOptions } from '@bull-board/api/dist/types.js'
import { getBoardJob, listBoardJobs, listBoardWorkers, type BoardWorker } from '@jobyard/db/board'
import type { Sql } from '@jobyard/db/connect'
import { isId } from '@jobyard/db/ids'
import { getAttempts } from '@jobyard/db/jobs'
import { countSchedules, listSchedules, type ListedSchedule } from '@jobyard/db/schedules'
import type { JobActions } from '../job-actions.ts'
import { Problem } from '../problem.ts'
import type { ScheduleActions } from '../schedule-actions.ts'
import { tellHistory } from './history.ts'
import { BoardJob, laneOfTab, type BoardTab } from './job.ts'
import type { Overview } from './overview.ts'
import { chartMinutes, Throughput, type MeasuredStatus } from './throughput.ts'

export interface RecordAdapterOptions {
  readonly queue: string
  readonly description: string
  readonly tenant: string
  readonly sql: Sql
  readonly actions: JobActions
  readonly schedules: ScheduleActions
  readonly overview: Overview
}

const shownSchedules = 1_000
const tabs = Object.keys(laneOfTab) as BoardTab[]

/** Time without a heartbeat from which a worker is shown as silent, in milliseconds. */
const silenceMs = 5_000

/** Answers Bull Board's questions about one queue from the record; what it cannot do safely, it refuses. */
export class RecordAdapter extends BaseAdapter {
  readonly #options: RecordAdapterOptions
  readonly #throughput: Throughput

  constructor(options: RecordAdapterOptions) {
    const { description, sql, tenant, queue } = options
    super('bullmq', { description, allowRetries: true, allowCompletedRetries: false })
    this.#options = options
    this.#throughput = new Throughput(sql, tenant, queue)
  }

  override getName(): string {
    return this.#options.queue
  }

  override getStatuses() {
    return ['latest' as const, ...this.getJobStatuses()]
  }

  override getJobStatuses(): BoardTab[] {
    return ['active', 'waiting', 'delayed', 'completed', 'failed']
  }

  /** Counts stop at 10,000. */
  override async getJobCounts() {
    const queue = (await this.#options.overview.read()).get(this.getName())
    const counts = Object.fromEntries(tabs.map((tab) => [tab, queue?.[laneOfTab[tab]] ?? 0]))
    return { latest: 0, 'waiting-children': 0, prioritized: 0, paused: 0, ...counts } as Awaited<
      ReturnType<BaseAdapter['getJobCounts']>
    >
  }

  /**
   * Reads a page of one tab, or the first page of each of several, newest job first.
   *
   * @param start index of the first row. @param end index of the last row, included.
   */
  override async getJobs(statuses: readonly string[], start = 0, end = 9): Promise<BoardJob[]> {
    const { sql, tenant, queue, actions } = this.#options
    const asked = tabs.filter((tab) => statuses.includes(tab))
    const page = { offset: Math.max(0, start), limit: Math.max(1, end - start + 1) }
    const lists = await Promise.all(asked.map((tab) => listBoardJobs(sql, tenant, queue, laneOfTab[tab], page)))
    const rows = lists.flat()
    if (asked.length > 1) rows.sort((a, b) => (a.id < b.id ? 1 : -1))
    return rows.map((row) => new BoardJob(row, [], actions))
  }

  /** @returns the job with its attempts, or undefined when this queue has no such job. */
  override async getJob(id: string): Promise<BoardJob | undefined> {
    const found = await this.#find(id)
    return found && new BoardJob(found.row, found.attempts, this.#options.actions)
  }

  /** @returns the life of the job, one line per event. */
  override async getJobLogs(id: string): Promise<string[]> {
    const found = await this.#find(id)
    return found ? tellHistory(found.row, found.attempts) : []
  }

  /** @returns finished jobs per minute of the last hour, at most 10,000 for each minute. */
  override async getMetrics(status: MeasuredStatus) {
    const [current = 0, ...past] = await this.#throughput.read(status)
    const nothing = current === 0 && past.every((count) => count === 0)
    return {
      meta: { count: current, prevTS: Date.now(), prevCount: 0 },
      data: nothing ? [] : past,
      count: nothing ? 0 : chartMinutes,
    }
  }

  /** @returns the worker processes that serve this queue, from their heartbeats. */
  override async getWorkers() {
    return (await listBoardWorkers(this.#options.sql, this.getName())).map(viewWorker)
  }

  override async isPaused(): Promise<boolean> {
    return (await this.#options.overview.read()).get(this.getName())?.paused ?? false
  }

  /** @throws Problem `not-found` when the record does not know the queue. */
  override async pause(): Promise<void> {
    await this.#options.actions.setPaused(this.getName(), true)
  }

  /** @throws Problem `not-found` when the record does not know the queue. */
  override async resume(): Promise<void> {
    await this.#options.actions.setPaused(this.getName(), false)
  }

  /** What Bull Board asks of a queue of BullMQ besides, to find flows; there are none. */
  getQueueQualifiedName(): string {
    return this.getName()
  }

  getQueueName(): string {
    return this.getName()
  }

  async getFlowProducer() {
    return { getFlow: async () => null }
  }

  override async getGlobalConcurrency(): Promise<null> {
    return null
  }

  override async getRedisInfo(): Promise<null> {
    return null
  }

  /** @returns the schedules whose jobs go to this queue, 1,000 at most. */
  override async getJobSchedulers() {
    const { sql, tenant, queue } = this.#options
    return (await listSchedules(sql, tenant, { queue, limit: shownSchedules })).map(viewBoardSchedule)
  }

  /** Counts stop at 1,000. */
  override async getJobSchedulersCount(): Promise<number> {
    const { sql, tenant, queue } = this.#options
    return countSchedules(sql, tenant, { queue, upTo: shownSchedules })
  }

  override async addJob(): Promise<never> {
    throw unsupported('Jobs are submitted through POST /v1/jobs, which checks their input.')
  }

  override async clean(): Promise<never> {
    throw unsupported('Finished jobs are deleted by their retention only.')
  }

  override async empty(): Promise<never> {
    throw unsupported('A queue is not emptied at once. Cancel its jobs one by one.')
  }

  override async obliterate(): Promise<never> {
    throw unsupported('A queue is part of the record and is not deleted.')
  }

  override async promoteAll(): Promise<never> {
    throw unsupported('Jobs are promoted one by one.')
  }

  override async setGlobalConcurrency(): Promise<never> {
    throw unsupported('Concurrency is set per worker process, by WORKER_CONCURRENCY.')
  }

  /** Pauses a schedule, or lets it go on; the wording of the board says so. */
  override async removeJobScheduler(name: string): Promise<boolean> {
    const { schedules, tenant } = this.#options
    const { paused } = await schedules.get(tenant, name)
    await schedules.setPaused(tenant, name, !paused)
    return true
  }

  override get supportsJobSchedulerUpdate(): boolean {
    return true
  }

  /** Changes when a schedule fires, and nothing else of it. @throws Problem `cron-invalid` or `conflict`. */
  override async updateJobScheduler(name: string, wanted: JobSchedulerRepeatOptions): Promise<'updated'> {
    const { pattern, every, tz, limit, endDate } = wanted
    if (limit !== undefined) throw unsupported('A schedule ends at a time, not after a number of runs.')
    await this.#options.schedules.changeRule(this.#options.tenant, name, {
      cron: pattern,
      everyMs: every,
      timeZone: pattern === undefined ? undefined : tz,
      endsAt: endDate === undefined ? undefined : new Date(endDate).toISOString(),
    })
    return 'updated'
  }

  override get supportsJobSchedulerRun(): boolean {
    return true
  }

  override async runJobSchedulerNow(name: string): Promise<BoardJob | 'not-found'> {
    const { schedules, tenant } = this.#options
    return (await this.getJob(await schedules.trigger(tenant, name))) ?? 'not-found'
  }

  async #find(id: string) {
    if (!isId(id)) return undefined
    const { sql, tenant, queue } = this.#options
    const [row, attempts] = await Promise.all([getBoardJob(sql, tenant, queue, id), getAttempts(sql, tenant, id)])
    return row && { row, attempts }
  }
}

function viewBoardSchedule({ name, type, rule, paused, nextAt, lastJobId, lastCreatedAt }: ListedSchedule) {
  return {
    id: name,
    name: paused ? `${type}, paused` : type,
    ...(rule.cron !== undefined && { pattern: rule.cron, tz: rule.timeZone ?? 'UTC' }),
    ...(rule.everyMs !== undefined && { every: rule.everyMs }),
    ...(rule.startsAt !== undefined && { startDate: Date.parse(rule.startsAt) }),
    ...(rule.endsAt !== undefined && { endDate: Date.parse(rule.endsAt) }),
    ...(nextAt && !paused && { next: nextAt.getTime() }),
    ...(lastJobId && lastCreatedAt && { lastRun: lastCreatedAt.getTime(), lastRunJobId: lastJobId }),
  }
}

/** What the board never does, and what to do instead. */
function unsupported(detail: string): Problem {
  return new Problem('method-not-allowed', detail)
}

function viewWorker({ id, host, pid, running, concurrency, ageMs, silentMs }: BoardWorker) {
  const silent = silentMs > silenceMs ? `, silent for ${Math.round(silentMs / 1_000)} s` : ''
  return {
    id,
    name: `${host}, process ${pid}: runs ${running} of at most ${concurrency} jobs${silent}`,
    addr: id,
    age: Math.round(ageMs / 1_000),
  }
}
