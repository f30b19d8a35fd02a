import type { StreamEvent } from '@jobyard/db/stream'
import { eventJson } from '@jobyard/queues/event-body'

/** What a reader is told. */
export interface StreamMessage {
  /** How far a reader has come who has got it: where it resumes. */
  readonly position: number
  readonly type: string
  /** JSON text, without line breaks. */
  readonly data: string
}

/** Why a stream ends before its reader wants it to. */
export type EndReason = 'slow' | 'draining'

const bodies = new WeakMap<StreamEvent, string>()

/** The message of an event. Its text is made once, however many read it. */
export function eventMessage(event: StreamEvent): StreamMessage {
  const data = bodies.get(event) ?? bodyOf(event)
  bodies.set(event, data)
  return { position: event.position, type: event.type, data }
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
export function resetMessage(after: number, tail: number): StreamMessage {
  return { position: tail, type: 'reset', data: JSON.stringify({ missedFrom: after + 1, missedThrough: tail }) }
}

/** Tells that the stream ends here, and is to be read on from `position`, elsewhere or later. */
export function endMessage(position: number, reason: EndReason): StreamMessage {
  return { position, type: 'end', data: JSON.stringify({ reason, position }) }
}

/** A message as https://html.spec.whatwg.org/multipage/server-sent-events.html has it. */
export function asServerSentEvent({ position, type, data }: StreamMessage): string {
  return `id: ${position}\nevent: ${type}\ndata: ${data}\n\n`
}

/** A message as the text of a WebSocket's frame. */
export function asFrame({ position, type, data }: StreamMessage): string {
  return `{"id":"${position}","type":${JSON.stringify(type)},"data":${data}}`
}
