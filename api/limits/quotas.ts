import { setTimeout as delay } from 'node:timers/promises'
import type { Sql } from '@jobyard/db/connect'
import { countWaiting } from '@jobyard/db/waiting'
import { withDeadline } from '@jobyard/queues/deadline'
import { logTogether } from '@jobyard/queues/log-together'
import type { Logger } from 'pino'
import { Problem } from '../problem.ts'
import { nothing, plus, TenantUse, type Amount } from './tenant-use.ts'

/** What may wait of each tenant; as much as there is room for when absent. */
export interface QuotaSettings {
  readonly maxWaitingJobs?: number | undefined
  readonly maxWaitingBytes?: number | undefined
  /** Least time between two counts, in milliseconds. */
  readonly countEveryMs?: number
}

export interface QuotasOptions extends QuotaSettings {
  readonly sql: Sql
  readonly log: Logger
}

const defaultCountEveryMs = 1_000
/** Counting takes this part of the time of one connection at most, however much waits. */
const countingPart = 1 / 20
/** Time that a count may take, in milliseconds: above the time-out of statements. */
const countWithinMs = 15_000
/** Time that the first job of a tenant waits for its first count, in milliseconds. */
const firstCountWithinMs = 250
/** Time after which what was accepted counts no more when there was no count, in milliseconds: others may have made counting slow. */
const forgetAcceptedAfterMs = 5_000
/** Time after which a tenant that submits nothing is counted no more, in milliseconds. */
const forgetAfterMs = 60_000

interface Tenant {
  readonly use: TenantUse
  /** Resolves with the first count. */
  readonly known: PromiseWithResolvers<void>
  /** Its first count has come, or was waited for in vain. */
  isKnown: boolean
  lastSeenAt: number
}

/** How much of each tenant waits, and how much may. Tenants that submit are counted in the record, all of them by one statement at a time. */
export class Quotas {
  readonly #options: QuotasOptions
  readonly #logTrouble: (error: unknown) => void
  readonly #tenants = new Map<string, Tenant>()
  #wake = () => {}
  #isCounting = false
  /** When a count came to an end last, or what was accepted was forgotten instead. */
  #freshAt = performance.now()
  #hasNew = false
  #closed = false

  constructor(options: QuotasOptions) {
    this.#options = options
    this.#logTrouble = logTogether(
      options.log,
      'counts',
      'What waits could not be counted; until it can, a tenant may submit its quota every 5 s',
    )
  }

  /** @returns what is known of a tenant; at once when that is something. */
  useOf(name: string): TenantUse | Promise<TenantUse> {
    this.#forgetAccepted()
    const tenant = this.#tenants.get(name) ?? this.#add(name)
    tenant.lastSeenAt = performance.now()
    return tenant.isKnown ? tenant.use : this.#firstCount(tenant)
  }

  /** @throws Problem `quota-exceeded` when the amount, on top of what waits, is more than may. */
  check(use: TenantUse, amount: Amount): void {
    const { maxWaitingJobs = Infinity, maxWaitingBytes = Infinity } = this.#options
    const { jobs, bytes } = plus(use.total, amount)
    if (jobs > maxWaitingJobs) throw this.#exceeded(`${jobs - amount.jobs} jobs`, `${maxWaitingJobs}`)
    if (bytes > maxWaitingBytes)
      throw this.#exceeded(
        `Jobs of ${bytes - amount.bytes} bytes`,
        `${maxWaitingBytes} bytes; this job has ${amount.bytes}`,
      )
  }

  /** Counts no more. */
  close(): void {
    this.#closed = true
    this.#wake()
  }

  #exceeded(waits: string, limit: string): Problem {
    const detail =
      `${waits} of this tenant wait, and the limit is ${limit}. ` +
      'Submit more when some have run: add workers, resume paused queues, or cancel jobs that are not needed.'
    return new Problem('quota-exceeded', detail, {
      headers: { 'retry-after': String(Math.ceil(this.#everyMs / 1_000)) },
    })
  }

  get #everyMs(): number {
    return this.#options.countEveryMs ?? defaultCountEveryMs
  }

  #add(name: string): Tenant {
    const tenant: Tenant = { use: new TenantUse(), known: Promise.withResolvers(), isKnown: false, lastSeenAt: 0 }
    this.#tenants.set(name, tenant)
    this.#hasNew = true
    this.#wake()
    if (!this.#isCounting) void this.#countOnAndOn()
    return tenant
  }

  async #firstCount(tenant: Tenant): Promise<TenantUse> {
    await withDeadline(tenant.known.promise, firstCountWithinMs, 'The first count').catch(() => {})
    tenant.isKnown = true
    return tenant.use
  }

  /** Counts until nobody submits any more; at once again for those who are new, but never for more than a part of the time. */
  async #countOnAndOn(): Promise<void> {
    this.#isCounting = true
    while (this.#tenants.size > 0 && !this.#closed) {
      const began = performance.now()
      this.#hasNew = false
      await this.#count(new Map(this.#tenants))
      this.#forget()
      const restMs = (performance.now() - began) * (1 / countingPart - 1)
      await delay(restMs, undefined, { ref: false })
      if (!this.#hasNew && !this.#closed) await this.#pause(Math.max(0, this.#everyMs - restMs))
    }
    this.#isCounting = false
  }

  async #count(tenants: ReadonlyMap<string, Tenant>): Promise<void> {
    for (const { use } of tenants.values()) use.beginCount()
    try {
      const counting = countWaiting(this.#options.sql, [...tenants.keys()])
      const counted = new Map((await withDeadline(counting, countWithinMs, 'Counting')).map((row) => [row.tenant, row]))
      for (const [name, { use, known }] of tenants) {
        use.endCount(counted.get(name) ?? nothing)
        known.resolve()
      }
      this.#freshAt = performance.now()
    } catch (error) {
      for (const { use } of tenants.values()) use.failCount()
      if (!this.#closed) this.#logTrouble(error)
    }
  }

  /** Without counts a tenant may have its quota once in each such time: it cannot help that the record is slow. */
  #forgetAccepted(): void {
    if (performance.now() - this.#freshAt < forgetAcceptedAfterMs) return
    this.#freshAt = performance.now()
    for (const { use } of this.#tenants.values()) use.forgetAccepted()
  }

  #forget(): void {
    const before = performance.now() - forgetAfterMs
    for (const [name, { use, lastSeenAt }] of this.#tenants)
      if (lastSeenAt < before && !use.isUnderWay) this.#tenants.delete(name)
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref()
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
