import {
  Worker,
  type ConnectionOptions,
  type GetNextJobOptions,
  type IQueueBackend,
  type Job,
  type JobJson,
  type JobProgress,
  type RedisQueueBackend,
} from 'bullmq'
import type { TicketData } from './carrier-backend.ts'

/** What BullMQ answers to a fetch: a job, or for how long a rate limit allows none. */
type Fetched = [job?: JobJson, id?: string, limitMs?: number]

/** A BullMQ worker without a processor, for tickets that are fetched and acknowledged by hand. */
export class FetchingWorker<
  Backend extends IQueueBackend = RedisQueueBackend,
  Connection = ConnectionOptions,
> extends Worker<TicketData, unknown, string, Backend, JobProgress, Connection> {
  /** Monotonic time at which the rate limit ends that the last fetch has met, in milliseconds. */
  #limitedUntil = 0

  /** Time to wait before the next fetch, in milliseconds: a rate limit that somebody has set on the queue gives no tickets out. */
  get limitedForMs(): number {
    return Math.max(this.#limitedUntil - performance.now(), 0)
  }

  /** Fetches a ticket. After a rate limit it does not block: nothing would tell it of the tickets that have waited. */
  override getNextJob(token: string, { block = true }: GetNextJobOptions = {}): Promise<Job<TicketData>> {
    return super.getNextJob(token, { block: block && this.#limitedUntil === 0 })
  }

  /**
   * Acknowledges a ticket, and if asked to fetches the next one in the same round trip.
   *
   * @returns the next ticket, or undefined when none was asked for or none is there.
   */
  async acknowledge(ticket: Job<TicketData>, fetchNext: boolean): Promise<Job<TicketData> | undefined> {
    const { token = '' } = ticket
    const next = await ticket.moveToCompleted(undefined, token, fetchNext)
    return fetchNext && next ? this.#fetched(next as Fetched, token) : undefined
  }

  protected override async moveToActive(token: string, name?: string): Promise<Job<TicketData>> {
    return this.#fetched((await this.backend.moveToActive(token, name)) as Fetched, token)
  }

  #fetched([data, id, limitMs = 0]: Fetched, token: string): Promise<Job<TicketData>> {
    this.#limitedUntil = limitMs > 0 ? performance.now() + this.getRateLimitDelay(limitMs) : 0
    return this.nextJobFromJobData(data, id, token)
  }
}
