import { adminKey } from '@jobyard/testing/platform'
import { call, type Answer } from '../../load/call.ts'
import { bodyOf } from '../../load/client.ts'
import type { Entry, Wish } from '../../load/ledger.ts'
import { quickWish } from '../../load/wishes.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { TrialContext } from '../trial.ts'

/** A job as the record has it. */
export interface RecordedJob {
  readonly id: string
  readonly status: string
  readonly epoch: number
  readonly crashes: number
  readonly attemptsMade: number
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
}

/** Writes down a job that is going to be submitted, perhaps several times with the same key. */
export function newEntry({ ledger, random }: TrialContext, wish: Wish = quickWish(random)): Entry {
  return ledger.noteSent(`single-${random.int(1, 2 ** 31 - 1)}`, wish)
}

/** Submits a job once. @param key that is shown. @returns the answer; undefined when none came. */
export async function submit(
  context: TrialContext,
  entry: Entry,
  api: string | undefined,
  key = adminKey,
): Promise<Answer | undefined> {
  const requestedAt = performance.now()
  const headers = { 'idempotency-key': entry.key, authorization: `Bearer ${key}` }
  const answer = await call(api, '/v1/jobs', { body: bodyOf(entry), headers })
  if (answer?.status !== 202) {
    entry.seen.push(answer ? `${answer.status} ${JSON.stringify(answer.body)}` : 'no answer')
    return answer
  }
  context.expect(entry.id === undefined || entry.id === answer.body.id, 'I8', `The key ${entry.key} made a second job`)
  context.ledger.noteAccepted(entry, answer.body.id ?? '', requestedAt)
  return answer
}

/** Submits a job until it is accepted, by any API that works. @returns the 202. */
export async function submitUntilAccepted(context: TrialContext, stage: Stage, entry: Entry): Promise<Answer> {
  return until(`${entry.key} is accepted`, async () => {
    const answer = await submit(context, entry, stage.api(context.random))
    return answer?.status === 202 && answer
  })
}

/** Submits so many jobs at once, each until it is accepted. */
export async function submitAll(context: TrialContext, stage: Stage, wishes: readonly Wish[]): Promise<Entry[]> {
  const entries = wishes.map((wish) => newEntry(context, wish))
  await Promise.all(entries.map((entry) => submitUntilAccepted(context, stage, entry)))
  return entries
}

/** @returns the jobs that a key has made. */
export async function jobsOf({ db }: Stage, { key }: Entry): Promise<RecordedJob[]> {
  return db.sql<RecordedJob[]>`select * from jobs where metadata->>'key' = ${key}`
}

/** Resolves with the job when it looks as asked for. */
export async function seen(
  stage: Stage,
  entry: Entry,
  what: string,
  isSo: (job: RecordedJob) => boolean,
  withinMs?: number,
): Promise<RecordedJob> {
  const ask = async () => (await jobsOf(stage, entry)).find(isSo)
  return until(`${entry.key} ${what}`, ask, withinMs)
}

/** Runs one job, so that every connection is open and every loop turns. */
export async function warmUp(context: TrialContext, stage: Stage): Promise<void> {
  const [entry] = await submitAll(context, stage, [quickWish(context.random)])
  if (entry && stage.workers.length > 0) await seen(stage, entry, 'ends', ({ finishedAt }) => finishedAt !== null)
}

/** Times in milliseconds that a trial's fault took until the platform worked on, and the longest that it may take. */
export function timed(context: TrialContext, name: string, ms: number, boundMs: number): void {
  context.recovered(name, ms)
  context.expect(ms <= boundMs, 'R', `${name}: ${Math.round(ms)} ms, where at most ${boundMs} are allowed`)
}
