import type { Sql } from '@jobyard/db/connect'
import { isId } from '@jobyard/db/ids'
import { getJob } from '@jobyard/db/jobs'
import { readJobEvents, readStreamEnds } from '@jobyard/db/stream'
import { Problem, noSuchJob } from '../problem.ts'
import { isLastOne, type StreamFilter } from './filter.ts'
import type { StreamBeginning } from './stream-reader.ts'

/**
 * Reads where a stream begins.
 *
 * @param lastEventId what the client was told last: it wants what follows. From now on when absent; a job from its first event.
 * @returns undefined when nothing will follow: the job has ended, and the client knows.
 * @throws Problem `bad-request` when that is no position of this stream, or `not-found`.
 */
export async function findBeginning(
  sql: Sql,
  filter: StreamFilter,
  lastEventId: string | undefined,
): Promise<StreamBeginning | undefined> {
  const { tenant, jobId } = filter
  const position = lastEventId === undefined ? undefined : positionOf(lastEventId)
  const { head } = await readStreamEnds(sql)
  if (position !== undefined && position > head) throw noPosition()
  if (jobId === undefined) return { position: position ?? head, isCaughtUp: (position ?? head) === head }
  const job = isId(jobId) ? await getJob(sql, tenant, jobId) : undefined
  if (!job || job.internal) throw noSuchJob(jobId)
  return beginningOfJob(sql, filter, jobId, { position: position ?? 0, head })
}

/** The head was read before: what has no place by then comes after it. */
async function beginningOfJob(
  sql: Sql,
  filter: StreamFilter,
  jobId: string,
  { position, head }: { readonly position: number; readonly head: number },
): Promise<StreamBeginning | undefined> {
  const events = await readJobEvents(sql, filter.tenant, jobId)
  const last = events.find((event) => isLastOne(event, filter))
  if (last && last.position <= position) return undefined
  return { position, history: { events, through: Math.max(head, events.at(-1)?.position ?? 0) }, isCaughtUp: true }
}

/** @throws Problem `bad-request` when the text is not what a stream gave as `id`. */
function positionOf(lastEventId: string): number {
  if (!/^\d{1,15}$/.test(lastEventId)) throw noPosition()
  return Number(lastEventId)
}

function noPosition(): Problem {
  return new Problem(
    'bad-request',
    'The Last-Event-ID is none of this stream. Send the `id` of the last message, or nothing to begin anew.',
  )
}
