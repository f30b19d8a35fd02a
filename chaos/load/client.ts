import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { adminKey } from '@jobyard/testing/platform'
import { Agent, request } from 'undici'
import type { Random } from '../random.ts'
import type { Entry, Ledger, Wish } from './ledger.ts'

export interface ClientOptions {
  /** `http://host:port` of an API that may be up; another one at each call. */
  readonly api: () => string | undefined
  readonly ledger: Ledger
  readonly random: Random
  /** Makes one job. */
  readonly wish: (random: Random) => Wish
  /** Requests at once. */
  readonly connections?: number
  /** Jobs submitted per second at most. */
  readonly jobsPerSecond?: number
  /** Of a hundred requests, those that carry many jobs. */
  readonly batchPercent?: number
  /** Of a hundred jobs accepted singly, those whose cancellation is asked for soon after. */
  readonly cancelPercent?: number
}

/** Time that a request may take, in milliseconds: more than the API ever needs. */
const requestTimeoutMs = 30_000
/** Pause before a request is repeated, in milliseconds. */
const repeatAfterMs = 100
const largestBatch = 100

/**
 * A client as a careful team writes it: every request carries idempotency keys, and is repeated until the answer is known.
 * It writes down what it was told.
 */
export class Client {
  readonly #options: Required<ClientOptions>
  readonly #agent = new Agent({
    headersTimeout: requestTimeoutMs,
    bodyTimeout: requestTimeoutMs,
    connectTimeout: 2_000,
  })
  readonly #run = randomUUID().slice(0, 8)
  #count = 0
  #stopped = true
  #loops: Promise<void>[] = []
  #ending: Promise<void> | undefined
  #dueAt = 0
  readonly #cancels = new Set<Promise<void>>()

  constructor(options: ClientOptions) {
    this.#options = { connections: 16, jobsPerSecond: 400, batchPercent: 20, cancelPercent: 2, ...options }
  }

  /** Submits until it is stopped. */
  start(): void {
    this.#stopped = false
    this.#dueAt = performance.now()
    const { connections, random } = this.#options
    this.#loops = Array.from({ length: connections }, () => this.#submit(random.fork()))
  }

  /** Resolves when every request under way has been answered, each repeated until it was; stopping twice is fine. */
  stop(): Promise<void> {
    return (this.#ending ??= this.#end())
  }

  async #end(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#loops)
    await Promise.all(this.#cancels)
    await this.#agent.close()
  }

  async #submit(random: Random): Promise<void> {
    const { batchPercent, wish } = this.#options
    while (!this.#stopped) {
      const size = random.chance(batchPercent) ? random.int(2, largestBatch) : 1
      await this.#takeTurn(size)
      const entries = Array.from({ length: size }, () => this.#note(wish(random)))
      if (size === 1) await this.#sendSingly(entries[0] as Entry, random)
      else await this.#sendTogether(entries)
    }
  }

  /** Waits until the rate allows for so many more jobs; time that an outage took is not caught up. */
  async #takeTurn(jobs: number): Promise<void> {
    const now = performance.now()
    this.#dueAt = Math.max(this.#dueAt, now - 1_000) + (jobs * 1_000) / this.#options.jobsPerSecond
    if (this.#dueAt > now) await delay(this.#dueAt - now)
  }

  #note(wish: Wish): Entry {
    return this.#options.ledger.noteSent(`${this.#run}-${this.#count++}`, wish)
  }

  async #sendSingly(entry: Entry, random: Random): Promise<void> {
    const { key } = entry
    for (;;) {
      const requestedAt = performance.now()
      const answer = await this.#post('/v1/jobs', bodyOf(entry), { 'idempotency-key': key })
      if (answer?.status === 202) {
        this.#options.ledger.noteAccepted(entry, (answer.body as { id: string }).id, requestedAt)
        if (random.chance(this.#options.cancelPercent)) this.#cancelLater(entry, random.int(0, 300))
        return
      }
      if (this.#isRefused(answer, [entry])) return
      await delay(repeatAfterMs)
    }
  }

  async #sendTogether(entries: readonly Entry[]): Promise<void> {
    for (let open = [...entries]; open.length > 0;) {
      const requestedAt = performance.now()
      const jobs = open.map((entry) => ({ ...bodyOf(entry), idempotencyKey: entry.key }))
      const answer = await this.#post('/v1/jobs/batch', { jobs })
      if (answer?.status === 202) open = this.#noteItems(open, answer.body, requestedAt)
      else if (this.#isRefused(answer, open)) return
      if (open.length > 0) await delay(repeatAfterMs)
    }
  }

  /** @returns those that are still to be sent. */
  #noteItems(entries: readonly Entry[], body: unknown, requestedAt: number): Entry[] {
    const { items } = body as { items: { index: number; id?: string; problem?: { status: number; detail: string } }[] }
    return entries.filter((entry, index) => {
      const item = items.find((each) => each.index === index)
      if (item?.id !== undefined) this.#options.ledger.noteAccepted(entry, item.id, requestedAt)
      else entry.seen.push(`item: ${item?.problem?.status} ${item?.problem?.detail}`)
      return item?.id === undefined
    })
  }

  /** @returns whether repeating cannot help; 4xx answers are noted and looked at by the oracle. */
  #isRefused(answer: Answer | undefined, entries: readonly Entry[]): boolean {
    const seen = answer ? `${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}` : 'no answer'
    for (const entry of entries) entry.seen.push(seen)
    return answer !== undefined && answer.status >= 400 && answer.status < 500 && answer.status !== 429
  }

  #cancelLater(entry: Entry, afterMs: number): void {
    const cancelled = delay(afterMs)
      .then(() => this.#cancel(entry))
      .finally(() => this.#cancels.delete(cancelled))
    this.#cancels.add(cancelled)
  }

  async #cancel(entry: Entry): Promise<void> {
    entry.cancel = 'asked'
    for (;;) {
      const answer = await this.#post(`/v1/jobs/${entry.id}/cancel`, undefined)
      if (answer && answer.status < 300) entry.cancel = 'agreed'
      else if (answer?.status === 409) entry.cancel = 'refused'
      else {
        await delay(repeatAfterMs)
        continue
      }
      return
    }
  }

  async #post(path: string, body: unknown, more: Record<string, string> = {}): Promise<Answer | undefined> {
    const url = this.#options.api()
    if (url === undefined) return undefined
    try {
      const answer = await request(url + path, {
        method: 'POST',
        dispatcher: this.#agent,
        headers: {
          authorization: `Bearer ${adminKey}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...more,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      return { status: answer.statusCode, body: await answer.body.json() }
    } catch {
      return undefined
    }
  }
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

/** @returns the body of the request for a job, which carries its key, so that the oracle finds it. */
export function bodyOf({ key, wish }: Entry) {
  const { type, input, delayMs, priority, tags } = wish
  return {
    type,
    input,
    metadata: { key },
    ...(delayMs !== undefined && { delayMs }),
    ...(priority !== undefined && { priority }),
    ...(tags && { tags }),
  }
}
