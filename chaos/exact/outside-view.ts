import type { Database } from '@jobyard/db/connect'
import type { JobError } from '@jobyard/db/settle'
import { isTerminal, type JobStatus } from '@jobyard/db/statuses'
import type { Violation } from '../report.ts'
import type { Note, Wrong } from './scene.ts'
import type { Expected, Trial } from './trial.ts'

/** What the record says about a job, read past the platform. */
interface Facts {
  readonly id: string
  readonly type: string
  readonly status: JobStatus
  readonly value: string
  readonly output: { readonly value?: unknown } | null
  readonly error: JobError | null
  readonly attemptsMade: number
  readonly crashes: number
  readonly epoch: number
  readonly redriveOf: string | null
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  readonly attempts: readonly { outcome: string; epoch: number; startedAt: string; finishedAt: string }[]
  readonly events: readonly { type: string; occurredAt: string }[]
  readonly effects: number
}

/** What a trial has come to. */
export interface Verdict {
  readonly lost: number
  readonly doubled: number
  readonly eventsMissing: number
  readonly violations: readonly Violation[]
}

type Loss = 'lost' | 'doubled' | 'eventsMissing'

/** A promise that was broken. */
interface Finding extends Wrong {
  readonly job?: string
  readonly loss?: Loss
}

/**
 * Compares what the client was told with what stands in the record.
 *
 * @param headline says which trial it was.
 * @param trouble what went wrong on the way, if anything did.
 */
export async function judge(trial: Trial, headline: string, trouble?: string): Promise<Verdict> {
  const jobs = await readFacts(trial.lane.sql, trial.since)
  const findings: Finding[] = trouble === undefined ? [] : [{ invariant: 'I1', what: trouble }]
  findings.push(...absences(trial, jobs), ...keysUsedTwice(trial, jobs), ...trial.scene.wrongs)
  for (const job of jobs) {
    const accepted = trial.accepted.has(job.id)
    for (const finding of [
      ...unfinished(job, accepted),
      ...wrongEvents(job),
      ...wrongEnd(job, trial),
      ...wrongCounts(job),
    ])
      findings.push({ ...finding, job: job.id })
  }
  const count = (loss: Loss) => findings.filter((finding) => finding.loss === loss).length
  return {
    lost: count('lost'),
    doubled: count('doubled'),
    eventsMissing: count('eventsMissing'),
    violations: findings.map(({ invariant, what, job }) => ({
      invariant,
      what: `${headline}: ${what}`,
      timeline: timelineOf(
        trial.scene.notes.filter(({ jobId }) => !job || !jobId || jobId === job),
        jobs.filter(({ id }) => !job || id === job),
      ),
    })),
  }
}

async function readFacts(sql: Database['sql'], since: string): Promise<Facts[]> {
  return sql<Facts[]>`
    select j.id, j.type, j.status, j.input->>'value' as value, j.output, j.error, j.attempts_made, j.crashes, j.epoch, j.redrive_of,
      j.created_at, j.started_at, j.finished_at,
      coalesce((select json_agg(json_build_object('outcome', a.outcome, 'epoch', a.epoch, 'startedAt', a.started_at,
        'finishedAt', a.finished_at) order by a.epoch) from attempts a where a.job_id = j.id), '[]') as attempts,
      coalesce((select json_agg(json_build_object('type', o.type, 'occurredAt', o.occurred_at))
        from outbox o where o.job_id = j.id), '[]') as events,
      (select count(*)::int from effects e where e.job_id = j.id) as effects
    from jobs j where j.id > ${since} order by j.id`
}

function absences(trial: Trial, jobs: readonly Facts[]): Finding[] {
  const found = new Set(jobs.map(({ id }) => id))
  return [...trial.accepted.keys()]
    .filter((id) => !found.has(id))
    .map((id) => ({ invariant: 'I1', what: `job ${id} was accepted and is absent`, loss: 'lost' }))
}

function keysUsedTwice(trial: Trial, jobs: readonly Facts[]): Finding[] {
  return [...trial.expected].flatMap(([value, { key }]): Finding[] => {
    const made = jobs.filter((job) => job.value === value && !job.redriveOf).length
    if (key === undefined || made < 2) return []
    return [{ invariant: 'I8', what: `one idempotency key made ${made} jobs`, loss: 'doubled' }]
  })
}

function unfinished({ id, status }: Facts, accepted: boolean): Finding[] {
  if (isTerminal(status)) return []
  return [{ invariant: 'I1', what: `job ${id} is ${status} still`, ...(accepted && { loss: 'lost' }) }]
}

function wrongEvents({ status, events }: Facts): Finding[] {
  const [event, ...others] = events
  if (!isTerminal(status)) return event ? [{ invariant: 'I4', what: `a ${status} job has ${event.type}` }] : []
  if (!event) return [{ invariant: 'I4', what: `a ${status} job has no event`, loss: 'eventsMissing' }]
  if (others.length > 0) return [{ invariant: 'I2', what: `a job has ${events.length} events`, loss: 'doubled' }]
  return event.type === `job.${status}` ? [] : [{ invariant: 'I4', what: `a ${status} job has ${event.type}` }]
}

function wrongEnd(job: Facts, { expected }: Trial): Finding[] {
  const submission = expected.get(job.value)
  if (!isTerminal(job.status) || !submission) return []
  const end: Expected = (job.redriveOf && submission.redrivenEnd) || submission.end
  const output = end.status === 'completed' ? job.value : undefined
  const effects = end.writes ? 1 : 0
  const comparisons: [string, string, unknown, unknown, (Loss | undefined)?][] = [
    ['I2', 'is', job.status, end.status],
    ['I6', 'has made so many attempts:', job.attemptsMade, end.attemptsMade],
    ['I2', 'has the output', job.output?.value, output],
    ['I2', 'has failed for', end.reason && job.error?.reason, end.reason],
    ['I6', 'has crashed so often:', Math.max(job.crashes, submission.crashes ?? 0), submission.crashes ?? 0],
    ['I2', 'has written so often:', job.effects, effects, job.effects > 1 ? 'doubled' : undefined],
  ]
  return comparisons
    .filter(([, , is, should]) => is !== should)
    .map(([invariant, verb, is, should, loss]) => ({
      invariant,
      what: `a job ${verb} ${String(is)}, and should ${String(should)} (${JSON.stringify(job.error)})`,
      ...(loss && { loss }),
    }))
}

/** Whether the attempts that are listed account for those that were counted. */
function wrongCounts({ status, attemptsMade, attempts }: Facts): Finding[] {
  const failures = attempts.filter(({ outcome }) => outcome === 'failed' || outcome === 'timed_out').length
  const made = failures + (status === 'completed' ? 1 : 0)
  return made === attemptsMade
    ? []
    : [{ invariant: 'I6', what: `a job counts ${attemptsMade} attempts, and ${made} are listed` }]
}

/** What happened, a line each, oldest first. */
function timelineOf(notes: readonly Note[], jobs: readonly Facts[]): string[] {
  const lines: { readonly at: Date; readonly text: string }[] = notes.map(({ at, text, jobId }) => ({
    at,
    text: jobId ? `${text} (job ${jobId})` : text,
  }))
  for (const job of jobs) {
    const { id, createdAt, startedAt, finishedAt, status, epoch, crashes, attemptsMade, error } = job
    const now = `epoch ${epoch}, crashes ${crashes}, attempts ${attemptsMade}, ${JSON.stringify(error)}`
    lines.push({ at: createdAt, text: `record: job ${id} of type ${job.type} was created` })
    if (startedAt) lines.push({ at: startedAt, text: `record: job ${id} was claimed last` })
    lines.push({ at: finishedAt ?? new Date(), text: `record: job ${id} is ${status}, ${now}` })
    for (const attempt of job.attempts) {
      lines.push({
        at: new Date(attempt.finishedAt),
        text: `record: epoch ${attempt.epoch} of ${id} was ${attempt.outcome}`,
      })
    }
    for (const event of job.events)
      lines.push({ at: new Date(event.occurredAt), text: `record: ${event.type} of ${id} occurred` })
  }
  const sorted = lines.toSorted((a, b) => a.at.getTime() - b.at.getTime())
  const start = sorted[0]?.at.getTime() ?? 0
  return sorted.map(({ at, text }) => `${String(at.getTime() - start).padStart(6)} ms  ${text}`)
}
