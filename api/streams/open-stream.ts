import type { Sql } from '@jobyard/db/connect'
import { isId } from '@jobyard/db/ids'
import { getJob } from '@jobyard/db/jobs'
import { readJobEvents, readStream } from '@jobyard/db/stream'
import { Problem, noSuchJob } from '../problem.ts'
import { isLastOne, type StreamFilter } from './filter.ts'
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
  const place = { position: isRewound ? 0 : (asked?.position ?? 0), timeline }
  const history = await historyOf(sql, tenant, jobId, head)
  const last = history.events.find((event) => isLastOne(event, filter))
  return last && last.position <= place.position ? undefined : { place, isRewound, history, isCaughtUp: true }
}

/** The events of a job up to some place. The head was read before: what has no place by then comes after it. */
async function historyOf(sql: Sql, tenant: string, jobId: string, head: number) {
  const events = await readJobEvents(sql, tenant, jobId)
  return { events, through: Math.max(head, events.at(-1)?.position ?? 0) }
}

function noPosition(): Problem {
  return new Problem(
    'bad-request',
    'The Last-Event-ID is none of this stream. Send the `id` of the last message, or nothing to begin anew.',
  )
}
