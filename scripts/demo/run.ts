import { setTimeout } from 'node:timers/promises'
import type { Database } from '@jobyard/db/connect'
import { compare, countJobs, type Finding } from './agreement.ts'
import { createEndpoint, deleteEndpoint, readOutput, submitAll, type ClientOptions, type Submitted } from './client.ts'
import { followEvents, type StreamedEvent } from './event-stream.ts'
import type { Mailbox } from './mailbox.ts'
import { decodeThumbnail, type DecodedThumbnail } from './pictures.ts'
import type { PlannedJob } from './plan.ts'
import type { Progress } from './progress.ts'
import type { Receiver } from './receiver.ts'
import {
  growth,
  openRecord,
  type RecordedJob,
  type RepositoryActivity,
  type RunRecord,
  type TerminalEvent,
} from './record.ts'
import { startSchedule, type DemoSchedule } from './schedule.ts'
import type { WebhookReceiver } from './webhooks.ts'

/** How often the record is asked how many jobs have ended, and how long they have for it, in milliseconds. */
const pollMs = 100
const patienceMs = 75_000

export interface RunOptions {
  readonly plan: readonly PlannedJob[]
  readonly client: Omit<ClientOptions, 'onAccepted'>
  readonly sql: Database['sql']
  readonly receiver: Receiver
  readonly webhookReceiver: WebhookReceiver
  readonly mailbox: Mailbox
  readonly progress: Progress
  /** Told how jobs end while they do. */
  readonly onEvent: (event: StreamedEvent) => void
}

export interface RunResult {
  readonly jobs: readonly RecordedJob[]
  readonly submitted: Submitted
  /** What the repositories gained in this run, and what they have in all. */
  readonly activity: readonly RepositoryActivity[]
  readonly totalActivity: readonly RepositoryActivity[]
  readonly webhooks: readonly TerminalEvent[]
  readonly streamed: readonly StreamedEvent[]
  readonly findings: readonly Finding[]
}

/**
 * Submits the planned jobs, waits until they have ended and their ends were told, and compares what the client saw with the record.
 *
 * @throws the reason of the client's signal; Error when the API refuses a job.
 */
export async function runJobs(options: RunOptions): Promise<RunResult> {
  const { client, webhookReceiver, onEvent } = options
  const endpoint = await createEndpoint(webhookReceiver.url, client)
  webhookReceiver.believe(endpoint.secret)
  const schedule = await startSchedule(client)
  try {
    return await runTold(options, await followEvents(client, onEvent), schedule)
  } finally {
    await Promise.all([deleteEndpoint(endpoint, client), schedule.remove()])
  }
}

async function runTold(
  options: RunOptions,
  streamed: readonly StreamedEvent[],
  schedule: DemoSchedule,
): Promise<RunResult> {
  const { plan, client, sql, receiver, mailbox, progress } = options
  const { webhooks, disbelieved } = options.webhookReceiver
  const record = await openRecord(sql, client.tag)
  const activityBefore = await record.activity()
  const watching = new AbortController()
  client.signal.addEventListener('abort', () => watching.abort(), { once: true })
  const clientOptions = { ...client, onAccepted: ({ type }: PlannedJob) => progress.accepted(type) }
  const submitting = submitAll(plan, clientOptions).catch((error: unknown) => {
    watching.abort()
    throw error
  })
  const hasHeard = (ends: number) => streamed.length >= ends && countJobs(webhooks) >= ends
  const watched = watchEnds({ record, planned: plan.length, progress, hasHeard, signal: watching.signal })
  const [submitted] = await Promise.all([submitting, watched])
  client.signal.throwIfAborted()
  const [jobs, events, activityAfter] = [await record.jobs(), await record.events(), await record.activity()]
  const activity = growth(activityBefore, activityAfter)
  const thumbnails = await decodeThumbnails(submitted, clientOptions)
  const { requests } = receiver
  const scheduled = await schedule.stop()
  const findings = compare({
    planned: plan,
    submitted,
    jobs,
    events,
    webhooks,
    disbelieved,
    streamed,
    requests,
    mails: mailbox.mails,
    thumbnails,
    activity,
    scheduled,
  })
  return { jobs, submitted, activity, totalActivity: activityAfter, webhooks, streamed, findings }
}

interface Watch {
  readonly record: RunRecord
  readonly planned: number
  readonly progress: Progress
  /** Whether so many ends were told. */
  readonly hasHeard: (ends: number) => boolean
  readonly signal: AbortSignal
}

/** Resolves when all have ended and were told, at the signal, or when the time is up; what is missing then shows in the findings. */
async function watchEnds({ record, planned, progress, hasHeard, signal }: Watch): Promise<void> {
  const deadline = performance.now() + patienceMs
  while (performance.now() < deadline && !signal.aborted) {
    const counts = await record.countEnded()
    progress.ended(counts)
    const ended = [...counts.values()].reduce((sum, count) => sum + count, 0)
    if (ended >= planned && hasHeard(planned)) return
    await setTimeout(pollMs, undefined, { signal }).catch(() => {})
  }
}

/** Reads each thumbnail through the API, as a client would, and decodes it. */
async function decodeThumbnails(
  { accepted }: Submitted,
  client: ClientOptions,
): Promise<Map<string, DecodedThumbnail | string>> {
  const ids = [...accepted].filter(([, { thumbnail }]) => thumbnail).map(([id]) => id)
  const decode = async (id: string): Promise<DecodedThumbnail | string> => {
    const output = (await readOutput(id, client)) as { base64: string } | undefined
    return output ? decodeThumbnail(output.base64) : 'it has no output'
  }
  return new Map(await Promise.all(ids.map(async (id) => [id, await decode(id).catch(String)] as const)))
}
