import { Worker } from 'node:worker_threads'

/** Time without a turn of the event loop after which the process is ended: three leases, in milliseconds. */
const blockedForMs = 30_000
const lookEveryMs = 1_000

/**
 * Watches this process's event loop from a thread, and kills the process when the loop stands still for three leases: a
 * blocked process is declared dead by others anyway, and its jobs run elsewhere.
 *
 * @returns stops the watch.
 */
export function startWatchdog({ blockedMs = blockedForMs, everyMs = lookEveryMs } = {}): () => void {
  const turns = new Int32Array(new SharedArrayBuffer(4))
  const timer = setInterval(() => Atomics.add(turns, 0, 1), everyMs / 2)
  const thread = new Worker(new URL('./watchdog-thread.ts', import.meta.url), {
    execArgv: [],
    workerData: { turns, everyMs, looks: Math.ceil(blockedMs / everyMs), pid: process.pid },
  })
  timer.unref()
  thread.unref()
  return () => {
    clearInterval(timer)
    void thread.terminate()
  }
}
