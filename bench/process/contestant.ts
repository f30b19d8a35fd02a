import type { Named } from '../rounds.ts'

/** Where one measurement happens: servers that were wiped for it. */
export interface Target {
  /** postgres://… of a database in which no job waits before these are loaded. */
  readonly databaseUrl: string
  readonly redisUrl: string
  /** How many jobs there are. */
  readonly jobs: number
  /** Ids of ours from this one on are of this measurement: older jobs may be there, ended. */
  readonly firstId: string
}

/** A job's input, and the output that its handler answers with. */
export interface Payload {
  readonly value: number
}

/** One worker process's worth of a job system at work. */
export interface Worker {
  /** Whether everything is recorded as done, as durably as this system does it. Asked once all handlers have run. */
  recorded(): Promise<boolean>
  stop(): Promise<void>
}

/** A job system, used as its own documentation says. */
export interface JobSystem {
  /** Puts jobs with the payloads 0, 1, 2 … into the empty servers. */
  load(target: Target): Promise<void>
  /** @param handled told by the handler of jobs that it has run. */
  start(target: Target, handled: (jobs: number) => void): Promise<Worker>
  /** @throws Error when the servers do not show that every job was done, once. */
  verify(target: Target): Promise<void>
}

/** One row of the table. */
export interface Contestant extends Named {
  /** How many jobs it is given: some seconds' worth. */
  readonly jobs: number
  /** Loads the system's code, so that a process holds no other's. */
  readonly open: () => Promise<JobSystem>
}

/** Payloads of a target, in chunks of at most `size`. */
export function* payloadChunks({ jobs }: Target, size: number): Generator<Payload[]> {
  for (let start = 0; start < jobs; start += size) {
    yield Array.from({ length: Math.min(size, jobs - start) }, (_, at) => ({ value: start + at }))
  }
}

/** @throws Error when what was counted is not what should be there. */
export function expectCount(what: string, counted: number | undefined, expected: number): void {
  if (counted !== expected) throw new Error(`${what}: ${counted} instead of ${expected}`)
}
