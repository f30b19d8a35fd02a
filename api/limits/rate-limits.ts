import type { TokenStore } from '@jobyard/queues/limits/token-store'
import type { Limit } from '@jobyard/queues/limits/limit'
import type { Logger } from 'pino'
import { Problem } from '../problem.ts'
import { RateLimiter, type Held } from './rate-limiter.ts'
import { WatchedStore } from './watched-store.ts'

/** The limits that are switched on. */
export interface RateLimitSettings {
  readonly tenant?: Limit | undefined
  readonly key?: Limit | undefined
}

export interface RateLimitsOptions extends RateLimitSettings {
  /** Buckets that all processes share; each has its own when absent. */
  readonly store?: TokenStore | undefined
  readonly log: Logger
}

/** Whose tokens a request takes. */
export interface Payer {
  readonly tenant: string
  readonly keyId: string
}

/** What takes tokens one by one, at the pace at which there are any. */
export interface Pace {
  /** Takes one. @returns false when there is none; then it will tell when to try again. */
  take(): boolean
  /** @returns what says why there is none, and when there will be. */
  refusal(): Problem
}

/** Times that a request asks the store at most, when others take what it has waited for; then it takes what the next lease pays. */
const maxRounds = 3
/** So much of a second is rounding. */
const rounding = 1e-6
/** Shortest and longest time after which one that is slowed down tries again, in milliseconds. */
const paceMs = { least: 20, most: 1_000 }

/** The rate limits of tenants and keys. What is done takes from all of them, or from none. */
export class RateLimits {
  readonly #store: WatchedStore | undefined
  readonly #limiters: readonly RateLimiter[]
  readonly #policy: string

  constructor({ tenant, key, store, log }: RateLimitsOptions) {
    this.#store = store && new WatchedStore(store, log)
    const settings = Object.entries({ tenant, key })
    this.#limiters = settings.flatMap(([name, limit]) => (limit ? [new RateLimiter(name, limit, this.#store)] : []))
    this.#policy = this.#limiters.map(policyOf).join(', ')
  }

  /**
   * Takes tokens where that needs asking nobody. Otherwise {@link charge} takes them, or says why not.
   *
   * @returns how the payer stands then, as {@link standingOf}; undefined when nothing was taken.
   */
  tryCharging(payer: Payer, tokens: number): string | undefined {
    const held = this.#heldBy(payer)
    return tryTaking(held, tokens) ? standingOf(held) : undefined
  }

  /**
   * Takes tokens.
   *
   * @param paid tokens that the same request has taken already.
   * @throws Problem `rate-limited`, after a few milliseconds at most.
   */
  async charge(payer: Payer, tokens: number, paid = 0): Promise<void> {
    const held = this.#heldBy(payer)
    for (let round = 0; !tryTaking(held, tokens); round++) {
      const refusing = held.find(({ bucket }) => bucket.admits(tokens) === false)
      if (refusing) throw overLimit(refusing, tokens + paid)
      if (round === maxRounds) return take(held, tokens)
      await prepare(held, tokens)
    }
  }

  /**
   * Slows a payer down to its limits.
   *
   * @param onMore told when it should try again.
   */
  pace(payer: Payer, onMore: () => void): Pace {
    let isWaiting = false
    const wake = () => {
      isWaiting = false
      onMore()
    }
    const waitFor = (held: readonly Held[]) => {
      const refusing = held.filter(({ bucket }) => bucket.admits(1) === false)
      const ms = Math.max(...refusing.map(({ bucket }) => bucket.msUntil(1)), paceMs.least)
      if (refusing.length > 0) setTimeout(wake, Math.min(ms, paceMs.most))
      else void prepare(held, 1).then(wake)
    }
    return {
      take: () => {
        if (isWaiting) return false
        const held = this.#heldBy(payer)
        if (tryTaking(held, 1)) return true
        isWaiting = true
        waitFor(held)
        return false
      },
      refusal: () => {
        const held = this.#heldBy(payer)
        const slowest = held.toSorted((one, other) => other.bucket.msUntil(1) - one.bucket.msUntil(1))[0]
        if (!slowest) throw new Error('Nothing limits this payer')
        return overLimit(slowest, 1)
      },
    }
  }

  /** `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers). */
  get policy(): string {
    return this.#policy
  }

  /** @returns `RateLimit`: how a payer stands. */
  standingOf(payer: Payer): string {
    return standingOf(this.#heldBy(payer))
  }

  close(): void {
    for (const limiter of this.#limiters) limiter.close()
    this.#store?.close()
  }

  #heldBy({ tenant, keyId }: Payer): Held[] {
    return this.#limiters.map((limiter) => limiter.of(limiter.name === 'tenant' ? tenant : `${tenant} ${keyId}`))
  }
}

function standingOf(held: readonly Held[]): string {
  const now = performance.now()
  let standing = ''
  for (const { name, limit, bucket } of held) {
    const fullInS = wholeSeconds(bucket.msUntil(limit.burst, now))
    standing += `${standing && ', '}"${name}";r=${bucket.left(now)};t=${fullInS}`
  }
  return standing
}

/** @returns whether all of them surely had so many. */
function tryTaking(held: readonly Held[], tokens: number): boolean {
  const now = performance.now()
  const had = held.every(({ bucket }) => bucket.admits(tokens, now) === true)
  if (had) for (const { bucket } of held) bucket.take(tokens, now)
  return had
}

function take(held: readonly Held[], tokens: number): void {
  for (const { bucket } of held) bucket.take(tokens)
}

async function prepare(held: readonly Held[], tokens: number): Promise<void> {
  await Promise.all(held.map(({ bucket }) => bucket.prepare(tokens)))
}

function policyOf({ name, limit }: RateLimiter): string {
  return `"${name}";q=${limit.burst};w=${wholeSeconds(limit.burst / limit.perMs)}`
}

function overLimit({ name, limit, bucket }: Held, tokens: number): Problem {
  const retryAfter = String(wholeSeconds(bucket.msUntil(tokens)))
  const rate = `${Number((limit.perMs * 1_000).toPrecision(3))} a second, ${limit.burst} at once`
  const detail =
    tokens > limit.burst
      ? `${tokens} jobs in one array are more than this ${name} may send at once (${rate}). Send fewer in an array, or stream them as application/x-ndjson.`
      : `This ${name} has sent more than it may (${rate}; a job in an array counts as a request). Repeat it in ${retryAfter} s, and send more slowly: the RateLimit header tells what is left.`
  return new Problem('rate-limited', detail, { headers: { 'retry-after': retryAfter } })
}

/** @returns milliseconds as whole seconds, rounded up, 1 at least. */
function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1_000 - rounding))
}
