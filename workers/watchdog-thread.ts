import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'

interface Watch {
  readonly turns: Int32Array
  readonly everyMs: number
  /** Looks without a change after which the process is killed. Looks, not time: a process that was paused as a whole is not to blame. */
  readonly looks: number
  readonly pid: number
}

const { turns, everyMs, looks, pid } = workerData as Watch
const standardError = 2
let seen = Atomics.load(turns, 0)
let unchanged = 0

setInterval(() => {
  const now = Atomics.load(turns, 0)
  unchanged = now === seen ? unchanged + 1 : 0
  seen = now
  if (unchanged < looks) return
  writeSync(
    standardError,
    `The event loop was blocked for ${(looks * everyMs) / 1_000} s; this worker ends, its jobs run again elsewhere\n`,
  )
  process.kill(pid, 'SIGKILL')
}, everyMs)
