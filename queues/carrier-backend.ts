import type { Job, JobsOptions, WorkerOptions } from 'bullmq'
import type { TokenStore } from './limits/token-store.ts'

/** Ids of jobs. `whole`: they are of one batched type, and claimed together by whoever gets the ticket. */
export interface JobTicket {
  readonly ids: readonly string[]
  readonly whole?: boolean
}

/** What a BullMQ job holds: ids of jobs, or a probe's stamp. */
export type TicketData = JobTicket | { readonly probe: string; readonly priority: number }

/** What we use of a `FetchingWorker`. */
export interface TicketWorker {
  readonly limitedForMs: number
  waitUntilReady(): Promise<unknown>
  getNextJob(token: string, options: { block: boolean }): Promise<Job<TicketData> | undefined>
  acknowledge(ticket: Job<TicketData>, fetchNext: boolean): Promise<Job<TicketData> | undefined>
  startStalledCheckTimer(): Promise<void>
  pause(doNotWaitActive: boolean): Promise<void>
  close(force: boolean): Promise<void>
  getBackend(): { disconnectBlocking(wait: boolean): Promise<void> }
  on(event: 'error', listener: (error: Error) => void): unknown
}

/** What we use of a BullMQ queue. */
export interface TicketQueue {
  waitUntilReady(): Promise<unknown>
  add(name: string, data: TicketData, opts: JobsOptions): Promise<unknown>
  addBulk(jobs: { name: string; data: TicketData; opts: JobsOptions }[]): Promise<unknown>
  pause(): Promise<void>
  resume(): Promise<void>
  isPaused(): Promise<boolean>
  close(): Promise<void>
  on(event: 'error', listener: (error: Error) => void): unknown
}

/** How one kind of carrier makes BullMQ's objects; `Carrier` is what the platform uses of it. */
export interface CarrierBackend {
  readonly kind: 'redis' | 'postgres'
  /** As many tickets are cheaper to add one by one than together. */
  readonly addedSingly: number
  createQueue(name: string, options: { streams: { events: { maxLen: number } } }): TicketQueue
  createWorker(name: string, options: Omit<WorkerOptions, 'connection' | 'prefix'>): TicketWorker
  /** Makes the carrier's own schema, where it has one; safe to call from several processes at once. */
  migrate(): Promise<void>
  /** @throws Error with the remedy when the carrier must not be used as it is configured. */
  check(): Promise<void>
  /** Undoes what a process whose clock was far ahead has left behind: times that will not come for long. */
  forgetWrongClocks(): Promise<void>
  /** Gets rid of tickets that are gone and still in the way of others, where the carrier keeps such. */
  shedDeadTickets(): Promise<void>
  /** @throws when the carrier does not answer, or takes no tickets. */
  ping(): Promise<void>
  /** Opens buckets that all processes share, where the carrier has room for any. {@link disconnect} closes them. */
  openTokenStore?(): TokenStore
  disconnect(): Promise<void>
}
