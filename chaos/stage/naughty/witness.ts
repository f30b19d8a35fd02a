import { appendFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** One call of a handler, seen from inside its process. */
export interface Call {
  readonly jobId: string
  readonly pid: number
  /** On the monotonic clock of the machine, in milliseconds. */
  readonly beganAt: number
  /** Absent when it never ended. */
  endedAt?: number
}

interface Note {
  readonly jobId: string
  readonly pid: number
  readonly at: number
  readonly ends: boolean
}

/** @returns the monotonic clock of the machine, which all its processes share, in milliseconds. */
export function machineNow(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** Calls `handler`, and writes down when it began and ended: to be called inside a worker process. */
export async function witnessed<Output>(jobId: string, handler: () => Output): Promise<Awaited<Output>> {
  note(jobId, false)
  try {
    return await handler()
  } finally {
    note(jobId, true)
  }
}

function note(jobId: string, ends: boolean): void {
  const line: Note = { jobId, pid: process.pid, at: machineNow(), ends }
  appendFileSync(fileIn(process.env['CHAOS_FOLDER'] ?? '.'), `${JSON.stringify(line)}\n`)
}

/** Reads what all processes of a stage have written down, in the order in which calls began. */
export async function readCalls(folder: string): Promise<Call[]> {
  const text = await readFile(fileIn(folder), 'utf8').catch(() => '')
  const calls: Call[] = []
  const open = new Map<string, Call>()
  for (const line of text.split('\n').filter(Boolean)) {
    const { jobId, pid, at, ends } = JSON.parse(line) as Note
    const run = `${jobId} ${pid}`
    const begun = open.get(run)
    if (ends && begun) begun.endedAt = at
    if (ends) continue
    const call: Call = { jobId, pid, beganAt: at }
    open.set(run, call)
    calls.push(call)
  }
  return calls
}

function fileIn(folder: string): string {
  return join(folder, 'calls.ndjson')
}
