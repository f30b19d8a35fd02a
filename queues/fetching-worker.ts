import {
  Worker,
  type ConnectionOptions,
  type GetNextJobOptions,
  type IQueueBackend,
  type Job,
  type JobProgress,
  type RedisQueueBackend,
} from 'bullmq'
import type { TicketData } from './carrier-backend.ts'

/** A BullMQ worker without a processor, for tickets that are fetched and acknowledged by hand. */
export class FetchingWorker<
  Backend extends IQueueBackend = RedisQueueBackend,
  Connection = ConnectionOptions,
> extends Worker<TicketData, unknown, string, Backend, JobProgress, Connection> {
  /** Time to wait before the next fetch, in milliseconds: a rate limit that somebody has set on the queue gives no tickets out. */
  get limitedForMs(): number {
    return this.getRateLimitDelay(Math.max(this['limitUntil'] - Date.now(), 0))
  }

  /** Fetches a ticket. Asks the queue even if a rate limit should last: it may be gone, and tickets that waited with it announce nothing. */
  override getNextJob(token: string, options: GetNextJobOptions = {}): Promise<Job<TicketData>> {
    if (this['limitUntil'] > 0) {
      this['limitUntil'] = 0
      this['drained'] = false
    }
    return super.getNextJob(token, options)
  }

  /**
   * Acknowledges a ticket, and if asked to fetches the next one in the same round trip.
   *
   * @returns the next ticket, or undefined when none was asked for or none is there.
   */
  async acknowledge(ticket: Job<TicketData>, fetchNext: boolean): Promise<Job<TicketData> | undefined> {
    const { token = '' } = ticket
    const next = await ticket.moveToCompleted(undefined, token, fetchNext)
    if (!fetchNext || !next) return undefined
    const [data, id, limitMs, delayUntil] = next
    this['updateDelays'](limitMs, delayUntil)
    return this.nextJobFromJobData(data, id, token)
  }
}
