import type { StreamEvent } from '@jobyard/db/stream'
import { eventJson } from '@jobyard/queues/event-body'
import { idOf, type Place } from './place.ts'

/** What a reader is told. */
export interface StreamMessage {
  /** How far a reader has come who has got it: where it resumes. */
  readonly id: string
  readonly type: string
  /** JSON text, without line breaks. */
  readonly data: string
}

/** Why a stream ends before its reader wants it to. */
export type EndReason = 'slow' | 'draining' | 'failover' | 'unauthenticated'

const bodies = new WeakMap<StreamEvent, string>()

/** The message of an event. Its text is made once, however many read it. */
export function eventMessage(event: StreamEvent, timeline: number): StreamMessage {
  const data = bodies.get(event) ?? bodyOf(event)
  bodies.set(event, data)
  return { id: idOf({ position: event.position, timeline }), type: event.type, data }
}

/** One that cannot be told in full must not keep the others from being told. */
function bodyOf(event: StreamEvent): string {
  try {
    return eventJson(event, { includeOutput: false })
  } catch {
    return JSON.stringify({ type: event.type, data: { id: event.jobId ?? event.id } })
  }
}

/** Tells that events are deleted which the reader has not got. @param after how far it has come. @param tail the last one deleted. */
export function deletedMessage(after: number, tail: Place): StreamMessage {
  const data = JSON.stringify({ reason: 'deleted', missedFrom: after + 1, missedThrough: tail.position })
  return { id: idOf(tail), type: 'reset', data }
}

/** Tells that the newest events which the reader has got may be others now, and that it may have missed some: a standby took over. */
export function failoverMessage(place: Place): StreamMessage {
  return { id: idOf(place), type: 'reset', data: JSON.stringify({ reason: 'failover' }) }
}

/** Tells that the stream ends here, and is to be read on from there, elsewhere or later. */
export function endMessage(place: Place, reason: EndReason): StreamMessage {
  return { id: idOf(place), type: 'end', data: JSON.stringify({ reason, position: place.position }) }
}

/** A message as https://html.spec.whatwg.org/multipage/server-sent-events.html has it. */
export function asServerSentEvent({ id, type, data }: StreamMessage): string {
  return `id: ${id}\nevent: ${type}\ndata: ${data}\n\n`
}

/** A message as the text of a WebSocket's frame. */
export function asFrame({ id, type, data }: StreamMessage): string {
  return `{"id":"${id}","type":${JSON.stringify(type)},"data":${data}}`
}
