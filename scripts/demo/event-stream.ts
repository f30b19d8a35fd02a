import type { Access } from './client.ts'
import type { TerminalEvent } from './record.ts'

/** The end of a job as the stream tells it. */
export interface StreamedEvent extends TerminalEvent {
  /** Its place in the stream. */
  readonly position: number
  readonly jobType: string
  /** Why the job failed. */
  readonly reason: string | undefined
}

/**
 * Reads along at `GET /v1/events` how the jobs with the client's tag end, from now until the API stops. A connection that is
 * broken off would be opened anew by `fetch`, and the API's shutdown would wait for it.
 *
 * @returns what was told, and is told while the stream lasts.
 * @throws Error with the API's own words when it refuses.
 */
export async function followEvents(
  { url, key, tag }: Access,
  onEvent: (event: StreamedEvent) => void,
): Promise<readonly StreamedEvent[]> {
  const answer = await fetch(`${url}/v1/events?type=job.completed,job.failed,job.cancelled&tag=${tag}`, {
    headers: { authorization: `Bearer ${key}` },
  })
  if (!answer.ok || !answer.body) throw new Error(`The API tells no events: ${answer.status} ${await answer.text()}`)
  const messages = readMessages(answer.body.pipeThrough(new TextDecoderStream()))
  const events: StreamedEvent[] = []
  const readAlong = async () => {
    for await (const message of messages) {
      if (!message.event?.startsWith('job.')) continue
      const event = toStreamedEvent(message)
      events.push(event)
      onEvent(event)
    }
  }
  void readAlong().catch(() => {}) // what a broken stream did not tell is missed in the findings
  return events
}

/** Reads server-sent events. @yields the fields of each message. */
async function* readMessages(chunks: AsyncIterable<string>): AsyncGenerator<Readonly<Record<string, string>>> {
  let unread = ''
  for await (const chunk of chunks) {
    const blocks = (unread + chunk).split('\n\n')
    unread = blocks.pop() ?? ''
    for (const block of blocks) yield Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s)))
  }
}

function toStreamedEvent({ id, event = '', data = '' }: Readonly<Record<string, string>>): StreamedEvent {
  const told = JSON.parse(data) as { data: { id: string; type: string; error?: { reason: string } } }
  const { id: jobId, type: jobType, error } = told.data
  return { position: Number(id), type: event, jobId, jobType, reason: error?.reason }
}
