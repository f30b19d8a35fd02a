import { request, type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import { adminKey } from './platform.ts'

/** A message of a stream. */
export interface TestMessage {
  readonly id: string
  readonly event: string
  readonly data: any
}

/** A client of server-sent events. */
export interface TestStream {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  /** What has come so far. */
  readonly messages: TestMessage[]
  readonly comments: string[]
  /** Last position that was told, also without a message. */
  readonly lastEventId: () => string
  /** The whole body of an answer that is no stream. */
  readonly problem: () => any
  /** Resolves when the server has ended the stream. */
  readonly ended: Promise<void>
  close(): void
}

/** Opens a stream with the admin key, and reads it as it comes. */
export async function openEventStream(
  port: number,
  path: string,
  headers: Record<string, string> = {},
): Promise<TestStream> {
  const asking = request({
    host: '127.0.0.1',
    port,
    path,
    agent: false,
    headers: { authorization: `Bearer ${adminKey}`, ...headers },
  }).end()
  const [answer] = (await once(asking, 'response')) as [IncomingMessage]
  const messages: TestMessage[] = []
  const comments: string[] = []
  let lastEventId = ''
  let text = ''
  const take = (block: string) => {
    const fields = new Map<string, string>()
    for (const line of block.split('\n')) {
      const [, name = '', value = ''] = /^([^:]*): ?(.*)$/.exec(line) ?? []
      if (name === '') comments.push(value)
      else fields.set(name, value)
    }
    lastEventId = fields.get('id') ?? lastEventId
    const data = fields.get('data')
    if (data !== undefined) messages.push({ id: lastEventId, event: fields.get('event') ?? '', data: JSON.parse(data) })
  }
  answer.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    if (!answer.headers['content-type']?.startsWith('text/event-stream')) return
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) take(block)
  })
  const ended = new Promise<void>((resolve) => answer.once('close', () => resolve()))
  answer.on('error', () => {})
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    messages,
    comments,
    lastEventId: () => lastEventId,
    problem: () => JSON.parse(text),
    ended,
    close: () => void asking.destroy(),
  }
}
