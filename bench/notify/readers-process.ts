import { beService } from '../accept/service.ts'
import { now } from '../latency/timeline.ts'
import { followStream, type FollowedStream } from './follower.ts'

/** Task of the process that reads many streams. */
export interface ReadersTask {
  readonly readers: number
  readonly stream: FollowedStream & { readonly after: number }
  /** Stream of somebody who was there all the time, from another API process: whom the readers have to catch up with. */
  readonly pilot: FollowedStream
}

export type ReadersQuestion =
  | { readonly kind: 'caught up' }
  /** Whether all have come to this position; it is the last one. */
  | { readonly kind: 'come to'; readonly position: number }

/** What it says when it has opened all streams, and all readers have caught up. */
export interface CaughtUp {
  /** Time from the first request until the last reader had caught up, in milliseconds, and until the middle one had. */
  readonly ms: number
  readonly medianMs: number
}

/** Time between two looks at where the pilot is, in milliseconds: a reader has caught up when it is where the pilot was at the look before the last. */
const lookEveryMs = 100
/** Time that readers may take, in milliseconds. */
const patienceMs = 300_000

const { readers, stream, pilot } = await beService<ReadersTask>()
const positions = Array.from({ length: readers }, () => stream.after)
const caughtUpAt: (number | undefined)[] = []
let caughtUp = 0
let pilotAt = 0
/** Where the pilot was at the look before the last, and at the last. */
let looks: readonly [number, number] = [Infinity, Infinity]

/** Reader `reader` has read an event: the next one, or the stream has a gap or a double. */
function read(reader: number, position: number): void {
  const before = positions[reader] ?? 0
  if (position !== before + 1) throw new Error(`Reader ${reader} was told of ${position} after ${before}`)
  positions[reader] = position
  if (caughtUpAt[reader] !== undefined || position < looks[0]) return
  caughtUpAt[reader] = now()
  caughtUp++
}

async function until(isSo: () => boolean, what: string): Promise<void> {
  const deadline = now() + patienceMs
  while (!isSo()) {
    if (now() > deadline) throw new Error(`${what} took longer than ${patienceMs / 1_000} s`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

let startedAt = 0

async function answer(question: ReadersQuestion): Promise<unknown> {
  if (question.kind === 'come to') {
    const { position } = question
    await until(() => positions.every((at) => at >= position), 'The last events')
    return positions.every((at) => at === position)
  }
  await until(() => caughtUp === readers, 'Catching up')
  const sorted = caughtUpAt.map((at) => (at ?? Infinity) - startedAt).toSorted((left, right) => left - right)
  const told: CaughtUp = { ms: sorted.at(-1) ?? 0, medianMs: sorted[sorted.length >> 1] ?? 0 }
  return told
}

await followStream(pilot, (position) => (pilotAt = position))
await until(() => pilotAt > 0, 'The first event of the pilot')
setInterval(() => (looks = [looks[1], pilotAt]), lookEveryMs)
startedAt = now()
process.on('message', (question: ReadersQuestion) => void answer(question).then((told) => process.send?.(told)))
await Promise.all(positions.map((_, reader) => followStream(stream, (position) => read(reader, position))))
process.send?.({})
