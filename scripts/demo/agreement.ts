import type { Submitted } from './client.ts'
import type { StreamedEvent } from './event-stream.ts'
import type { ReceivedMail } from './mailbox.ts'
import type { DecodedThumbnail } from './pictures.ts'
import type { PlannedJob } from './plan.ts'
import type { ReceivedRequest } from './receiver.ts'
import type { RecordedJob, RepositoryActivity, TerminalEvent } from './record.ts'
import { everyMs, type ScheduledRun } from './schedule.ts'
import { formatCount } from './table.ts'

/** Everything that was seen of a run, from outside and in the record. */
export interface Evidence {
  readonly planned: readonly PlannedJob[]
  readonly submitted: Submitted
  readonly jobs: readonly RecordedJob[]
  readonly events: readonly TerminalEvent[]
  /** As often as they came, and why others were not believed. */
  readonly webhooks: readonly TerminalEvent[]
  readonly disbelieved: readonly string[]
  readonly streamed: readonly StreamedEvent[]
  readonly requests: readonly ReceivedRequest[]
  readonly mails: readonly ReceivedMail[]
  /** By job; a text says why one could not be decoded. */
  readonly thumbnails: ReadonlyMap<string, DecodedThumbnail | string>
  /** What the repositories gained meanwhile. */
  readonly activity: readonly RepositoryActivity[]
  /** What became of the occurrences of a schedule that was there meanwhile, in order. */
  readonly scheduled: readonly ScheduledRun[]
}

/** One claim about a run, and each thing that speaks against it. */
export interface Finding {
  readonly claim: string
  readonly disagreements: readonly string[]
}

/** Compares what the client saw with what the record says. The run agrees when no finding has a disagreement. */
export function compare(evidence: Evidence): Finding[] {
  return [
    compareCounts(evidence),
    compareRepeats(evidence),
    compareWebhooks(evidence),
    compareStream(evidence),
    compareStatuses(evidence),
    compareRetries(evidence),
    compareRequests(evidence),
    compareMails(evidence),
    compareThumbnails(evidence),
    compareActivity(evidence),
    compareSchedule(evidence),
  ]
}

function compareCounts({ planned, submitted: { accepted }, jobs, events }: Evidence): Finding {
  const ended = jobs.filter(({ finishedAt }) => finishedAt !== null)
  const status = new Map(ended.map((job) => [job.id, job.status]))
  const recorded = new Set(jobs.map(({ id }) => id))
  const count = formatCount(accepted.size)
  return {
    claim: `${count} jobs accepted over HTTP = ${count} rows = ${count} ended = ${count} events, each id once`,
    disagreements: [
      ...differs('jobs planned and ids answered with 202', planned.length, accepted.size),
      ...differs('ids answered with 202 and rows with the tag of this run', accepted.size, jobs.length),
      ...differs('rows and jobs that have ended', jobs.length, ended.length),
      ...differs('jobs that have ended and their events in the outbox', ended.length, events.length),
      ...list(
        'accepted, but not in the record',
        [...accepted.keys()].filter((id) => !recorded.has(id)),
      ),
      ...list(
        'in the record, but never accepted',
        [...recorded].filter((id) => !accepted.has(id)),
      ),
      ...list(
        'not ended',
        jobs.filter(({ finishedAt }) => finishedAt === null).map(({ id }) => id),
      ),
      ...list('more than one terminal event', repeatedIn(events.map(({ jobId }) => jobId))),
      ...list(
        'an event that contradicts the status',
        events.filter(({ jobId, type }) => type !== `job.${status.get(jobId)}`).map(({ jobId }) => jobId),
      ),
    ],
  }
}

function compareRepeats({ submitted: { repeated, repeatedWrongly } }: Evidence): Finding {
  return {
    claim: `${repeated} posts repeated with the same Idempotency-Key named the same jobs`,
    disagreements: differs('repeated posts, and those that named another job', 0, repeatedWrongly),
  }
}

function compareWebhooks({ submitted: { accepted }, jobs, webhooks, disbelieved }: Evidence): Finding {
  const told = countJobs(webhooks)
  return {
    claim: `${formatCount(told)} webhooks received, one for each job; the standardwebhooks library found every signature right, ${formatCount(webhooks.length - told)} came again`,
    disagreements: [
      ...toldWrongly('by webhook', { accepted, jobs, told: webhooks }),
      ...list('webhooks with a wrong signature', disbelieved),
    ],
  }
}

function compareStream({ submitted: { accepted }, jobs, streamed }: Evidence): Finding {
  const positions = streamed.map(({ position }) => position)
  return {
    claim: `${formatCount(streamed.length)} messages of GET /v1/events read along, one for each job, in order`,
    disagreements: [
      ...toldWrongly('by GET /v1/events', { accepted, jobs, told: streamed }),
      ...list('told more than once by GET /v1/events', repeatedIn(streamed.map(({ jobId }) => jobId))),
      ...list(
        'out of order in GET /v1/events',
        positions.filter((position, at) => position <= (positions[at - 1] ?? 0)).map(String),
      ),
    ],
  }
}

function compareStatuses({ submitted: { accepted }, jobs }: Evidence): Finding {
  const failures = [...accepted.values()].filter(({ failsWith }) => failsWith !== undefined)
  const disagreements = jobs.flatMap(({ id, type, status, reason }) => {
    const failsWith = accepted.get(id)?.failsWith
    const wanted = failsWith === undefined ? 'completed' : `failed (${failsWith})`
    const found = status === 'failed' ? `failed (${reason})` : status
    return found === wanted ? [] : [`${type} ${id}: should be ${wanted}, is ${found}`]
  })
  return {
    claim: `${failures.length} jobs that were meant to fail failed for their reason, all others completed`,
    disagreements,
  }
}

function compareRetries({ submitted: { accepted }, jobs }: Evidence): Finding {
  const disagreements = jobs.flatMap(({ id, type, attemptsMade }) => {
    const atLeast = (accepted.get(id)?.retries ?? 0) + 1
    return attemptsMade < atLeast ? [`${type} ${id}: needs ${atLeast} attempts, had ${attemptsMade}`] : []
  })
  const count = [...accepted.values()].filter(({ retries = 0 }) => retries > 0).length
  return { claim: `${count} jobs that were made to stumble completed in a later attempt`, disagreements }
}

function compareRequests({ submitted: { accepted }, requests, jobs }: Evidence): Finding {
  const orders = [...accepted.values()].flatMap(({ order }) => order ?? [])
  const bodies = new Map(orders.map(({ number, body }) => [number, body]))
  const answered = requests.filter(({ status }) => status === 200)
  const attempts = jobs
    .filter(({ id }) => accepted.get(id)?.order)
    .reduce((sum, { attemptsMade }) => sum + attemptsMade, 0)
  return {
    claim: `${requests.length} requests received, ${requests.length - answered.length} answered with 503 and made again; ${orders.length} orders, each with its own body`,
    disagreements: [
      ...differs('attempts recorded and requests received', attempts, requests.length),
      ...differs('orders sent and orders answered with 200', orders.length, answered.length),
      ...answered
        .filter(({ number, body }) => bodies.get(number) !== body)
        .map(({ number }) => `order ${number} came with another body`),
    ],
  }
}

function compareMails({ submitted: { accepted }, mails }: Evidence): Finding {
  const wanted = [...accepted.values()].flatMap(({ mail }) => mail ?? [])
  const wrong = wanted.filter(({ to, subject, text }) => {
    const found = mails.filter(({ recipients }) => recipients.includes(to))
    const [mail] = found
    return (
      found.length !== 1 ||
      mail?.headers.get('to') !== to ||
      mail.headers.get('subject') !== subject ||
      mail.text !== text
    )
  })
  return {
    claim: `${mails.length} mails received: recipient, subject and text as sent`,
    disagreements: [
      ...differs('mails sent and mails received', wanted.length, mails.length),
      ...wrong.map(({ to }) => `the mail to ${to} is missing, doubled or altered`),
    ],
  }
}

function compareThumbnails({ submitted: { accepted }, thumbnails }: Evidence): Finding {
  const wanted = [...accepted].flatMap(([id, { thumbnail }]) => (thumbnail ? [{ id, ...thumbnail }] : []))
  const disagreements = wanted.flatMap(({ id, width, height, format }) => {
    const found = thumbnails.get(id)
    if (found === undefined || typeof found === 'string')
      return [`thumbnail ${id} cannot be read: ${found ?? 'it has no output'}`]
    const isRight = found.width === width && Math.abs(found.height - height) <= 1 && found.format === format
    return isRight
      ? []
      : [
          `thumbnail ${id}: asked for ${width} × ${height} ${format}, got ${found.width} × ${found.height} ${found.format}`,
        ]
  })
  return { claim: `${wanted.length} thumbnails decoded: width, height and format as asked`, disagreements }
}

function compareActivity({ submitted: { accepted }, jobs, activity }: Evidence): Finding {
  const events = jobs.filter(({ type }) => type === 'github.event')
  return {
    claim: `${formatCount(events.length)} GitHub events counted in github_activity, each once, for the repository of its payload`,
    disagreements: [
      ...activity.flatMap(({ repository, counted, completed }) =>
        differs(`jobs completed and events counted for ${repository}`, completed, counted),
      ),
      ...events.flatMap(({ id, repository }) => {
        const wanted = accepted.get(id)?.repository ?? repository
        return wanted === repository
          ? []
          : [`github.event ${id}: its payload names ${wanted}, its output ${repository}`]
      }),
    ],
  }
}

function compareSchedule({ scheduled }: Evidence): Finding {
  const ids = scheduled.flatMap(({ jobId }) => jobId ?? [])
  return {
    claim: `${scheduled.length} occurrences of a schedule of every second fired, each once and none left out`,
    disagreements: [
      ...(scheduled.length === 0 ? ['the schedule of every second has not fired'] : []),
      ...scheduled
        .filter(({ outcome, status }) => outcome !== 'fired' || status !== 'completed')
        .map(({ at, outcome, status }) => `the occurrence of ${at.toISOString()} was ${outcome}, its job is ${status}`),
      ...scheduled
        .filter(({ at }, index) => index > 0 && at.getTime() - everyMs !== scheduled[index - 1]?.at.getTime())
        .map(({ at }) => `the occurrence of ${at.toISOString()} does not come a second after the one before`),
      ...list('a job of more than one occurrence', repeatedIn(ids)),
    ],
  }
}

/** @returns how many jobs the events are of. */
export function countJobs(events: readonly TerminalEvent[]): number {
  return new Set(events.map(({ jobId }) => jobId)).size
}

interface Telling {
  readonly accepted: Submitted['accepted']
  readonly jobs: readonly RecordedJob[]
  readonly told: readonly TerminalEvent[]
}

/** Names the jobs of which nothing was told, or something else than is recorded. */
function toldWrongly(how: string, { accepted, jobs, told }: Telling): string[] {
  const heardOf = new Set(told.map(({ jobId }) => jobId))
  const ends = new Map(jobs.map(({ id, status }) => [id, `job.${status}`]))
  return [
    ...list(
      `not told ${how}`,
      [...accepted.keys()].filter((id) => !heardOf.has(id)),
    ),
    ...list(
      `told otherwise ${how} than recorded`,
      told.filter(({ jobId, type }) => ends.get(jobId) !== type).map(({ jobId }) => jobId),
    ),
  ]
}

function differs(what: string, one: number, other: number): string[] {
  return one === other ? [] : [`${what} differ: ${formatCount(one)} and ${formatCount(other)}`]
}

/** Names a few of the ids; a thousand lines would hide the other findings. */
function list(what: string, ids: readonly string[]): string[] {
  const shown = 5
  const more = ids.length > shown ? ` and ${formatCount(ids.length - shown)} more` : ''
  return ids.length === 0 ? [] : [`${formatCount(ids.length)} ${what}: ${ids.slice(0, shown).join(', ')}${more}`]
}

function repeatedIn(ids: readonly string[]): string[] {
  return ids.filter((id, at) => ids.indexOf(id) !== at)
}
