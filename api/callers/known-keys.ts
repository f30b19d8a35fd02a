import { hash, timingSafeEqual } from 'node:crypto'
import { findApiKeys, noteKeysUsed, noteUseEveryMs, type FoundKey } from '@jobyard/db/api-keys'
import type { Sql } from '@jobyard/db/connect'
import { isAway } from '@jobyard/db/trouble'
import type { Circuit } from '@jobyard/queues/circuit'
import { DeadlineError, withDeadline } from '@jobyard/queues/deadline'
import { RecordAwayError } from '@jobyard/queues/errors'
import { MicroBatch } from '@jobyard/queues/micro-batch'
import { unavailable } from '../problem.ts'

/** Age at which nothing is believed any more, and at which it is renewed while it still is, in milliseconds. */
const maxAgeMs = 1_000
const renewAtMs = 500
/** Keys that are remembered; and shown ones that are none. */
const maxKnown = 10_000
/** Time that a look-up may take, in milliseconds. */
const lookUpWithinMs = 5_000
/** Every key of ours: `jy_` and 256 bits. */
const keyPattern = /^jy_[A-Za-z0-9_-]{43}$/

/** What the record said of a key. */
interface Knowledge {
  readonly key: FoundKey | undefined
  /** When it was asked, on the monotonic clock in milliseconds: what came later is not in it. */
  readonly askedAt: number
}

/** A key that opens, or how it was refused. */
export type KeyVerdict = FoundKey | 'expired' | 'unknown'

export interface KnownKeysOptions {
  readonly sql: Sql
  /** Whether Postgres answers. Doubted when a look-up got no answer. */
  readonly circuit: Circuit
}

/**
 * The keys that this process has been shown. What is believed of one is a second old at most, so that a revoked one is refused
 * within a second everywhere; but a request waits for a look-up only when nobody has shown the key for that long.
 */
export class KnownKeys {
  readonly #circuit: Circuit
  readonly #known = new Map<string, Knowledge>()
  readonly #unknown = new Map<string, Knowledge>()
  /** Ids of those that were revoked here: an answer that was under way may still tell of one. */
  readonly #revoked = new Map<string, true>()
  readonly #underWay = new Map<string, Promise<Knowledge>>()
  readonly #usesNoted = new Map<string, number>()
  /** Look-ups of keys that are known go by themselves, so that a flood of wrong ones is not in their way. */
  readonly #renewals: MicroBatch<Buffer, FoundKey | undefined>
  readonly #firstLooks: MicroBatch<Buffer, FoundKey | undefined>
  readonly #uses: MicroBatch<string, undefined>

  constructor({ sql, circuit }: KnownKeysOptions) {
    this.#circuit = circuit
    const run = (hashes: Buffer[]) => lookUp(sql, hashes)
    this.#renewals = new MicroBatch({ run, lanes: 1 })
    this.#firstLooks = new MicroBatch({ run, lanes: 1, maxWaiting: 2_000 })
    this.#uses = new MicroBatch({
      lanes: 1,
      run: async (ids) => {
        await noteKeysUsed(sql, ids)
        return ids.map(() => undefined)
      },
    })
  }

  /**
   * @param digest its SHA-256, where that is known.
   * @returns what a key that somebody shows is; at once if that is known.
   * @throws Problem `unavailable` when the record cannot be asked.
   */
  judge(shown: string, digest: Buffer = hash('sha256', shown, 'buffer')): KeyVerdict | Promise<KeyVerdict> {
    if (!keyPattern.test(shown)) return 'unknown'
    const name = digest.toString('latin1')
    const now = performance.now()
    const knowledge = this.#known.get(name) ?? this.#unknown.get(name)
    const ageMs = knowledge ? now - knowledge.askedAt : Infinity
    if (knowledge && ageMs < maxAgeMs) {
      if (knowledge.key && ageMs >= renewAtMs) this.#ask(name, digest).catch(() => {})
      return this.#verdict(digest, knowledge)
    }
    return this.#askSince(now - maxAgeMs, name, digest).then((answer) => this.#verdict(digest, answer))
  }

  /** Believes nothing of a key that was revoked here. */
  forget(id: string): void {
    this.#revoked.set(id, true)
    forgetOldest(this.#revoked)
    for (const [name, { key }] of this.#known) if (key?.id === id) this.#known.delete(name)
  }

  /** Resolves when nothing is being written. */
  drained(): Promise<void> {
    return this.#uses.drained()
  }

  #verdict(digest: Buffer, { key, askedAt }: Knowledge): KeyVerdict {
    if (!key || !timingSafeEqual(key.hash, digest)) return 'unknown'
    const now = performance.now()
    if (key.expiresInMs !== null && now - askedAt >= key.expiresInMs) return 'expired'
    this.#noteUse(key.id, now)
    return key
  }

  /** A look-up that was under way may have begun too long ago, where Postgres is slow. */
  async #askSince(earliest: number, name: string, digest: Buffer): Promise<Knowledge> {
    const answer = await this.#ask(name, digest)
    return answer.askedAt >= earliest ? answer : this.#ask(name, digest)
  }

  /** One look-up of a key at a time, for all who wait. */
  #ask(name: string, digest: Buffer): Promise<Knowledge> {
    const underWay = this.#underWay.get(name)
    if (underWay) return underWay
    const asking = this.#askRecord(name, digest).finally(() => this.#underWay.delete(name))
    this.#underWay.set(name, asking)
    return asking
  }

  async #askRecord(name: string, digest: Buffer): Promise<Knowledge> {
    if (this.#circuit.isOpen) throw uncheckable()
    const lookUps = this.#known.has(name) ? this.#renewals : this.#firstLooks
    const askedAt = performance.now()
    try {
      const found = await withDeadline(lookUps.add(digest), lookUpWithinMs, 'Looking up a key')
      const knowledge = { key: found && this.#revoked.has(found.id) ? undefined : found, askedAt }
      this.#remember(name, knowledge)
      return knowledge
    } catch (error) {
      if (error instanceof DeadlineError || isAway(error)) this.#circuit.doubt()
      throw uncheckable(error)
    }
  }

  #remember(name: string, knowledge: Knowledge): void {
    const [place, other] = knowledge.key ? [this.#known, this.#unknown] : [this.#unknown, this.#known]
    other.delete(name)
    place.delete(name)
    place.set(name, knowledge)
    forgetOldest(place)
  }

  #noteUse(id: string, now: number): void {
    const noted = this.#usesNoted.get(id)
    if (noted !== undefined && now - noted < noteUseEveryMs) return
    this.#usesNoted.delete(id)
    this.#usesNoted.set(id, now)
    forgetOldest(this.#usesNoted)
    this.#uses.add(id).catch(() => this.#usesNoted.delete(id))
  }
}

function forgetOldest(map: Map<string, unknown>): void {
  const [oldest] = map.keys()
  if (map.size > maxKnown && oldest !== undefined) map.delete(oldest)
}

async function lookUp(sql: Sql, hashes: Buffer[]): Promise<(FoundKey | undefined)[]> {
  const found = new Map((await findApiKeys(sql, hashes)).map((key) => [key.hash.toString('base64'), key]))
  return hashes.map((digest) => found.get(digest.toString('base64')))
}

function uncheckable(cause?: unknown) {
  return unavailable(
    'The key cannot be checked, since the database does not answer. Nothing was done; repeat the request in a second.',
    cause ?? new RecordAwayError('Postgres does not answer'),
  )
}
