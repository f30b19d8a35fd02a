import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'

/** What a receiver needs to know to answer. */
export interface Scene {
  /** URL that must never be called, although it may be. */
  readonly witness: string
  /** Resolves when those that hold their answers back may give them. */
  readonly released: Promise<void>
}

type Answer = (response: ServerResponse, scene: Scene) => unknown

/** Time that a receiver takes which is slow, but right, in milliseconds. */
const slowMs = 3_000
/** What one that has too much to do asks for, in seconds: more than a delivery waits by itself before it comes again. */
export const retryAfterSeconds = 8
/** Members of a gzip file follow one another, so that 1 MB of them become 1 GB. */
const gzipBomb = () => Buffer.concat(Array<Buffer>(100).fill(gzipSync(Buffer.alloc(10_000_000))))
let bomb: Buffer | undefined

const redirect =
  (status: number): Answer =>
  (response, { witness }) =>
    response.writeHead(status, { location: witness }).end()

/** What receivers do with a request that they have read. */
export const answers = {
  healthy: (response) => response.writeHead(204).end(),
  'slow but right': (response) => delay(slowMs).then(() => response.writeHead(200).end()),
  'holds back': (response, { released }) => released.then(() => response.writeHead(200).end()),
  'endless body': (response) => repeat(response.writeHead(200), 'x'.repeat(16_384), 1),
  'gzip bomb': (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end((bomb ??= gzipBomb())),
  'black hole': () => {},
  'one byte a second': (response) => repeat(response.writeHead(200), 'x', 1_000),
  '10,000 headers': (response) => {
    for (let count = 0; count < 10_000; count++) response.setHeader(`x-${count}`, 'y')
    response.writeHead(200).end()
  },
  'gone (410)': (response) => response.writeHead(410).end(),
  'too many (429)': (response) => response.writeHead(429, { 'retry-after': String(retryAfterSeconds) }).end(),
  'moved (301)': redirect(301),
  'moved (302)': redirect(302),
  'moved (307)': redirect(307),
  'moved (308)': redirect(308),
  'resets the connection': ({ socket }) => socket?.resetAndDestroy(),
  'certificate expired': (response) => response.writeHead(204).end(),
  'certificate valid': (response) => response.writeHead(204).end(),
} as const satisfies Record<string, Answer>

/** How a receiver behaves. */
export type Kind = keyof typeof answers

/** Those that take what they are sent, for all the oddity of some. */
const takers: readonly Kind[] = [
  'healthy',
  'slow but right',
  'holds back',
  'endless body',
  'gzip bomb',
  'certificate valid',
]

/** Whether a request that has come to a receiver of this kind is answered with 2xx in time. */
export function takes(kind: Kind): boolean {
  return takers.includes(kind)
}

export const secureKinds: readonly Kind[] = ['certificate expired', 'certificate valid']

function repeat(response: ServerResponse, chunk: string, everyMs: number): void {
  const timer = setInterval(() => response.write(chunk), everyMs)
  response.once('close', () => clearInterval(timer))
}
