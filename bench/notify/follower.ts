import { get, type IncomingMessage } from 'node:http'

/** Which stream is followed. */
export interface FollowedStream {
  /** `http://host:port/v1/events` */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Position after which events are wanted; from now on when absent. */
  readonly after?: number
}

/** An event as it came. */
export type OnEvent = (position: number, data: string) => void

/**
 * Follows a stream of server-sent events on a connection of its own; leaner than a client for people, since it shares the machine with what it loads.
 *
 * @returns once the stream is open, that is, once its first bytes have come.
 * @throws Error when it is refused; it ends the process when the stream ends later.
 */
export async function followStream({ url, headers, after }: FollowedStream, onEvent: OnEvent): Promise<void> {
  const { promise: open, resolve, reject } = Promise.withResolvers<void>()
  const read = (answer: IncomingMessage) => {
    if (answer.statusCode !== 200) return reject(new Error(`A stream was refused: ${answer.statusCode}`))
    let rest = ''
    answer.setEncoding('latin1').on('data', (chunk: string) => {
      resolve()
      rest = readEvents(rest + chunk, onEvent)
    })
    answer.on('close', () => {
      throw new Error('The server ended a stream')
    })
  }
  const lastEventId = after === undefined ? {} : { 'last-event-id': String(after) }
  get(url, { agent: false, headers: { ...headers, ...lastEventId } }, read).on('error', reject)
  await open
}

const idField = 'id: '
const dataField = '\ndata: '

/** Reads what is whole of a text; comments and positions without an event are passed over. @returns the rest. */
export function readEvents(text: string, onEvent: OnEvent): string {
  let start = 0
  for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n', start)) {
    const data = text.startsWith(idField, start) ? text.indexOf(dataField, start) : -1
    if (data >= 0 && data < end) {
      const position = Number.parseInt(text.slice(start + idField.length, text.indexOf('\n', start)), 10)
      onEvent(position, text.slice(data + dataField.length, end))
    }
    start = end + 2
  }
  return text.slice(start)
}
