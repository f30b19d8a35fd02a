import { isDeepStrictEqual } from 'node:util'
import { call, type Answer } from '../../load/call.ts'
import { bodyOf } from '../../load/client.ts'
import { jobsOf, newEntry, seen, submitUntilAccepted } from './submission.ts'
import type { Trial, TrialContext } from '../trial.ts'

const posts = 500

export const oneKey: readonly Trial[] = [
  { row: 22, name: `${posts} posts at once with one idempotency key over three APIs`, run: manyPosts },
]

async function manyPosts(context: TrialContext): Promise<void> {
  const stage = await context.stage({ apis: 3, workers: 1 })
  const entry = newEntry(context)
  const post = (count: number, body: unknown = bodyOf(entry)) =>
    call(stage.apis[count % stage.apis.length]?.url, '/v1/jobs', { body, headers: { 'idempotency-key': entry.key } })
  const answers = await Promise.all(Array.from({ length: posts }, (_, count) => post(count)))
  context.injected('posts with one key', `${posts} at once`)
  await submitUntilAccepted(context, stage, entry)
  await seen(stage, entry, 'ends', ({ finishedAt }) => finishedAt !== null)
  answers.push(await post(0))
  const [first] = answers
  const different = answers.filter((answer) => !isSame(answer, first))
  context.expect(different.length === 0, 'I8', `${different.length} of ${answers.length} answers are not the first one`)
  const fresh = answers.filter((answer) => !answer?.headers.has('idempotency-replayed'))
  context.expect(fresh.length === 1, 'I8', `${fresh.length} answers are told as first ones`)
  const jobs = await jobsOf(stage, entry)
  context.expect(jobs.length === 1, 'I8', `${posts} posts with one key made ${jobs.length} jobs`)
  const other = await post(1, { ...bodyOf(entry), input: { value: 'another' } })
  const refused = other?.status === 422 && other.body.type?.endsWith('/idempotency-key-reused')
  context.expect(refused === true, 'I8', `Another body with the key was answered with ${other?.status}`)
  await context.endWell(stage)
}

function isSame(one: Answer | undefined, other: Answer | undefined): boolean {
  return one?.status === 202 && isDeepStrictEqual(one.body, other?.body)
}
