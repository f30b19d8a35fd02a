import type { Sql } from '@jobyard/db/connect'
import { isId } from '@jobyard/db/ids'
import { getJob } from '@jobyard/db/jobs'
import { readJobEvents, readStream } from '@jobyard/db/stream'
import { Problem, noSuchJob } from '../problem.ts'
import type { StreamFilter } from './filter.ts'
import { placeOf } from './place.ts'
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
  const asked = lastEventId === undefined ? undefined : placeOf(lastEventId)
  if (lastEventId !== undefined && !asked) throw noPosition()
  const { head, timeline } = await readStream(sql, { after: asked?.position ?? 0, limit: 0, tenant })
  const isRewound = asked !== undefined && asked.timeline !== timeline
  if (asked && asked.position > head && !isRewound) throw noPosition()
  if (jobId === undefined) {
    const position = Math.min(asked?.position ?? head, head)
    return { place: { position, timeline }, isRewound, isCaughtUp: position === head }
  }
  const job = isId(jobId) ? await getJob(sql, tenant, jobId) : undefined
  if (!job || job.internal) throw noSuchJob(jobId)
  const position = isRewound ? 0 : (asked?.position ?? 0)
  const end = await findEnd(sql, tenant, jobId)
  const isOver = end !== undefined && end <= position
  return isOver ? undefined : { place: { position, timeline }, isRewound, isCaughtUp: position === head }
}

/** @returns the position at which a job ends; undefined while its end has none. */
async function findEnd(sql: Sql, tenant: string, jobId: string): Promise<number | undefined> {
  const { events } = await readJobEvents(sql, { tenant, jobId, after: 0, limit: 1, types: [] })
  return events[0]?.position
}

function noPosition(): Problem {
  return new Problem(
    'bad-request',
    'The Last-Event-ID is none of this stream. Send the `id` of the last message, or nothing to begin anew.',
  )
}
