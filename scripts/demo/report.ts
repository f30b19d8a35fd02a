import { styleText } from 'node:util'
import { countJobs, type Finding } from './agreement.ts'
import { percentile } from './percentile.ts'
import type { RecordedJob, RepositoryActivity, TerminalEvent } from './record.ts'
import { formatCount, formatDuration, formatTable } from './table.ts'

/** What became of the jobs of one type. */
export interface TypeSummary {
  readonly type: string
  readonly submitted: number
  readonly completed: number
  readonly failed: number
  /** Jobs that needed more than one attempt. */
  readonly retried: number
  /** From created to finished, retries and their waits included, in milliseconds. */
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  /** Jobs ended per second, from the first one created to the last one finished. */
  readonly perSecond: number | undefined
}

/** @returns one summary for each type, by name, and one over all. */
export function summarize(jobs: readonly RecordedJob[]): TypeSummary[] {
  const types = Map.groupBy(jobs, ({ type }) => type)
  const byName = [...types].toSorted(([left], [right]) => left.localeCompare(right))
  return [...byName, ['all', jobs] as const].map(([type, ofType]) => summarizeType(type, ofType))
}

function summarizeType(type: string, jobs: readonly RecordedJob[]): TypeSummary {
  const ended = jobs.flatMap(({ createdAt, finishedAt }) =>
    finishedAt ? [{ createdAt: createdAt.getTime(), finishedAt: finishedAt.getTime() }] : [],
  )
  const latencies = ended.map(({ createdAt, finishedAt }) => finishedAt - createdAt)
  const spanMs =
    Math.max(...ended.map(({ finishedAt }) => finishedAt)) - Math.min(...ended.map(({ createdAt }) => createdAt))
  return {
    type,
    submitted: jobs.length,
    completed: jobs.filter(({ status }) => status === 'completed').length,
    failed: jobs.filter(({ status }) => status === 'failed').length,
    retried: jobs.filter(({ attemptsMade }) => attemptsMade > 1).length,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
    perSecond: spanMs > 0 ? (ended.length * 1_000) / spanMs : undefined,
  }
}

/** @returns the lines of the table of types. */
export function formatSummaries(summaries: readonly TypeSummary[]): string[] {
  return formatTable(
    [
      { title: 'type', cell: ({ type }) => type, align: 'left' },
      { title: 'submitted', cell: ({ submitted }) => formatCount(submitted) },
      { title: 'completed', cell: ({ completed }) => formatCount(completed) },
      { title: 'failed', cell: ({ failed }) => formatCount(failed) },
      { title: 'retried', cell: ({ retried }) => formatCount(retried) },
      { title: 'p50', cell: ({ p50Ms }) => formatDuration(p50Ms) },
      { title: 'p99', cell: ({ p99Ms }) => formatDuration(p99Ms) },
      { title: 'jobs/s', cell: ({ perSecond }) => (perSecond === undefined ? '–' : formatCount(perSecond)) },
    ],
    summaries,
  )
}

/** @returns the lines of the table of events that were told, by type. */
export function formatEvents(webhooks: readonly TerminalEvent[], streamed: readonly TerminalEvent[]): string[] {
  const types = [...new Set([...webhooks, ...streamed].map(({ type }) => type))].toSorted()
  const rows = types.map((type) => ({
    type,
    received: webhooks.filter((event) => event.type === type),
    read: streamed.filter((event) => event.type === type),
  }))
  return formatTable(
    [
      { title: 'event', cell: ({ type }) => type, align: 'left' },
      { title: 'webhooks', cell: ({ received }) => formatCount(received.length) },
      { title: 'came again', cell: ({ received }) => formatCount(received.length - countJobs(received)) },
      { title: 'on the stream', cell: ({ read }) => formatCount(read.length) },
    ],
    rows,
  )
}

/** @returns the lines of the table of the busiest repositories. */
export function formatRepositories(
  activity: readonly RepositoryActivity[],
  total: readonly RepositoryActivity[],
  limit = 5,
): string[] {
  const inAll = new Map(total.map(({ repository, counted }) => [repository, counted]))
  return formatTable(
    [
      { title: 'repository', cell: ({ repository }) => repository, align: 'left' },
      { title: 'events', cell: ({ counted }) => formatCount(counted) },
      { title: 'in all runs', cell: ({ repository }) => formatCount(inAll.get(repository) ?? 0) },
    ],
    activity.toSorted((left, right) => right.counted - left.counted).slice(0, limit),
  )
}

/** @returns a line for each claim that holds, and one for each disagreement. */
export function formatFindings(findings: readonly Finding[]): string[] {
  const lines = findings.flatMap(({ claim, disagreements }) =>
    disagreements.length === 0
      ? [`${styleText('green', '✔')} ${claim}`]
      : disagreements.map((each) => `${styleText('red', '✘')} ${each}`),
  )
  const count = findings.flatMap(({ disagreements }) => disagreements).length
  const verdict =
    count === 0
      ? styleText(['bold', 'green'], 'Client and database agree on every count.')
      : styleText(['bold', 'red'], `Client and database disagree: ${count} ${count === 1 ? 'finding' : 'findings'}.`)
  return [...lines, '', verdict]
}
