import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import type { Place } from '../accept/rivals.ts'
import { beService } from '../accept/service.ts'
import { Timeline } from './timeline.ts'
import { workers, type WorkerName } from './workers.ts'

/** Task of the process that runs a contestant's jobs. */
export interface WorkerTask {
  readonly contestant: WorkerName
  readonly place: Place
}

/** What it says once it works. */
export interface WorkerReport {
  /** Who connects here is told all the time how many jobs are settled, a number to a line. */
  readonly progressPort: number
}

/** Asks it to tell the instants of so many jobs, once all are settled. */
export interface InstantsQuestion {
  readonly jobs: number
  readonly timeoutMs: number
}

/** Pause between two of these lines, in milliseconds. */
const tellEveryMs = 5

const { contestant, place } = await beService<WorkerTask>()
const timeline = new Timeline()
await workers[contestant](place, timeline)
process.on('message', ({ jobs, timeoutMs }: InstantsQuestion) => {
  void timeline.take(jobs, timeoutMs).then((instants) => process.send?.(instants))
})
const progress = createServer((socket) => {
  const telling = setInterval(() => socket.write(`${timeline.count}\n`), tellEveryMs)
  socket.on('error', () => {}).on('close', () => clearInterval(telling))
}).listen(0, '127.0.0.1')
await once(progress, 'listening')
const report: WorkerReport = { progressPort: (progress.address() as AddressInfo).port }
process.send?.(report)
