import type { OccurrenceRow } from '@jobyard/db/occurrences'
import type { ScheduleSummary } from '@jobyard/db/schedules'
import { graceMs } from '@jobyard/queues/schedules/plan-firing'
import { dueAt, openRule } from '@jobyard/queues/schedules/stored-rule'
import type { Violation } from '../report.ts'

/** Occurrences of one schedule in a simulated day, at most: one every 45 s has 1,920. */
const most = 10_000

/** By how much the clock is set back at most: moments of the record may be as much out of order. */
const skewMs = 600_000

/** A job that a schedule made. */
export interface ScheduledJob {
  readonly id: string
  readonly schedule: string
  readonly occurrence: string
  readonly createdAt: Date
  readonly finishedAt: Date | null
  readonly cancelRequestedAt: Date | null
}

/** What the record says of a schedule at the end, and what is known besides. */
export interface Evidence {
  readonly schedule: ScheduleSummary
  readonly occurrences: readonly OccurrenceRow[]
  readonly jobs: readonly ScheduledJob[]
  readonly start: Date
  readonly end: Date
  /** When somebody looked for what was due, by the clock of Postgres, in order; in milliseconds. */
  readonly looks: readonly number[]
}

/** @returns each way in which a schedule has not done what it says. */
export function judgeSchedule(evidence: Evidence): Violation[] {
  return [...judgeCoverage(evidence), ...judgeMissed(evidence), ...judgeOverlap(evidence), ...judgeJobs(evidence)].map(
    (what) => ({ invariant: 'schedules', what: `${evidence.schedule.name}: ${what}`, timeline: tell(evidence) }),
  )
}

/** Each occurrence of the rule stands in one row, and no row has another. */
function judgeCoverage({ schedule, occurrences, start, end }: Evidence): string[] {
  const expected = openRule(schedule)
    .take(start, most)
    .filter(({ at }) => dueAt(schedule, at) <= end)
    .map(({ at }) => at.getTime())
  const covers = new Map<number, number>()
  for (const { at, through } of occurrences) {
    const [first, last] = [at.getTime(), (through ?? at).getTime()]
    for (const each of expected) if (each >= first && each <= last) covers.set(each, (covers.get(each) ?? 0) + 1)
  }
  const known = new Set(expected)
  const wrongCounts = occurrences.filter(
    ({ at, through, count }) =>
      through && count !== expected.filter((each) => each >= at.getTime() && each <= through.getTime()).length,
  )
  return [
    ...expected.filter((each) => !covers.has(each)).map((each) => `${iso(each)} was left out`),
    ...expected.filter((each) => (covers.get(each) ?? 0) > 1).map((each) => `${iso(each)} was recorded twice`),
    ...occurrences.filter(({ at }) => !known.has(at.getTime())).map(({ at }) => `${at.toISOString()} is no occurrence`),
    ...wrongCounts.map(({ at, count }) => `${at.toISOString()} stands for another number than ${count}`),
  ]
}

/** What somebody looked for in time was not missed, and of what was missed as many were fired as the schedule says. */
function judgeMissed({ schedule, occurrences, looks }: Evidence): string[] {
  const wasLookedFor = (at: Date) => {
    const due = dueAt(schedule, at).getTime()
    const first = looks.find((look) => look >= due) // later ones may be earlier by the clock, which was set back
    return first !== undefined && first <= due + graceMs
  }
  const missed = occurrences.filter(({ outcome }) => outcome === 'missed')
  const late = occurrences.filter(
    ({ at, outcome, recordedAt }) =>
      outcome !== 'missed' && recordedAt.getTime() - dueAt(schedule, at).getTime() > graceMs,
  )
  const allowed = { skip: 0, once: 1, all: schedule.missedMax }[schedule.missed]
  const rounds = Map.groupBy(late, ({ recordedAt }) => recordedAt.getTime())
  return [
    ...missed
      .filter(({ at }) => wasLookedFor(at))
      .map(({ at }) => `${at.toISOString()} was missed though somebody looked in time`),
    ...[...rounds]
      .filter(([, fired]) => fired.length > allowed)
      .map(([at, fired]) => `${fired.length} were made up for at ${iso(at)}`),
    ...missed
      .filter(({ recordedAt }) => (rounds.get(recordedAt.getTime())?.length ?? 0) < allowed)
      .map(({ at }) => `too few were made up for with ${at.toISOString()}`),
  ]
}

/** Only a schedule whose runs may not overlap leaves one out for that, and only while the one before was unfinished. */
function judgeOverlap({ schedule, occurrences, jobs }: Evidence): string[] {
  const overlapped = occurrences.filter(({ outcome }) => outcome === 'overlapped')
  if (schedule.overlap === 'allow') return overlapped.map(({ at }) => `${at.toISOString()} was left out as overlapping`)
  const wasBusy = ({ recordedAt }: OccurrenceRow) =>
    jobs.some(({ createdAt, finishedAt }) => {
      const at = recordedAt.getTime()
      return createdAt.getTime() - skewMs <= at && (!finishedAt || finishedAt.getTime() + skewMs >= at)
    })
  const unjustified = overlapped
    .filter((each) => !wasBusy(each))
    .map(({ at }) => `${at.toISOString()} was left out as overlapping, but nothing ran`)
  const ordered = jobs.toSorted((one, other) => one.createdAt.getTime() - other.createdAt.getTime())
  const together = ordered.filter((job, index) => {
    const before = ordered[index - 1]
    const endedAt = schedule.overlap === 'skip' ? before?.finishedAt : (before?.cancelRequestedAt ?? before?.finishedAt)
    return before && (!endedAt || endedAt.getTime() > job.createdAt.getTime() + skewMs)
  })
  const needless = ordered.filter(({ cancelRequestedAt }, index) => cancelRequestedAt && !ordered[index + 1])
  return [
    ...unjustified,
    ...together.map(({ id }) => `job ${id} began before the one before had ended or was asked to`),
    ...needless.map(({ id }) => `job ${id} was cancelled without a successor`),
  ]
}

/** Each fired occurrence has one job, and each job one fired occurrence. */
function judgeJobs({ occurrences, jobs }: Evidence): string[] {
  const fired = new Map(
    occurrences.filter(({ outcome }) => outcome === 'fired').map(({ jobId, at }) => [jobId, at.toISOString()]),
  )
  return [
    ...jobs
      .filter(({ id, occurrence }) => fired.get(id) !== occurrence)
      .map(({ id }) => `job ${id} is of no occurrence`),
    ...(fired.size === jobs.length ? [] : [`${fired.size} occurrences were fired, but there are ${jobs.length} jobs`]),
  ]
}

function tell({ schedule, occurrences }: Evidence): string[] {
  const { rule, missed, missedMax, overlap, jitterMs } = schedule
  return [
    JSON.stringify({ ...rule, missed, missedMax, overlap, jitterMs }),
    ...occurrences
      .toReversed()
      .map(({ at, outcome, through, recordedAt }) =>
        [recordedAt.toISOString(), outcome, at.toISOString(), through?.toISOString() ?? ''].join(' ').trim(),
      ),
  ]
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
