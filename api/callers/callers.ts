import { hash, timingSafeEqual } from 'node:crypto'
import type { Sql } from '@jobyard/db/connect'
import type { Circuit } from '@jobyard/queues/circuit'
import { keeper, type Caller } from './caller.ts'
import type { JwtSettings } from './jwt-settings.ts'
import { KnownKeys, type KeyVerdict } from './known-keys.ts'
import { basicShown, expiredKey, keyInUrl, nothingShown, otherScheme, refused, unknownKey } from './refusals.ts'
import { Tokens } from './tokens.ts'
import { Watch } from './watch.ts'

export interface CallersOptions {
  /** JOBYARD_ADMIN_KEY. */
  readonly adminKey: string
  readonly sql: Sql
  readonly circuit: Circuit
  /** Which tokens are believed; none when absent. */
  readonly jwt?: JwtSettings | undefined
}

interface Shown {
  readonly authorization: string | undefined
  readonly key: string
  /** SHA-256 of the key. */
  readonly digest: Buffer
}

/** A token has three parts, between dots. */
const looksLikeToken = /^[\w-]+\.[\w-]*\.[\w-]*$/
const namesKey = /[?&](?:api[-_]?key|access[-_]?token|token|key|authorization)=|jy_[\w-]{43}/i

/** Tells who calls, by what they show. */
export class Callers {
  readonly #adminKey: Buffer
  readonly #tokens: Tokens | undefined
  readonly keys: KnownKeys
  /** Those who have something open that must not outlive their key. */
  readonly #watch = new Watch()
  /** What each connection has shown last: mostly it shows the same again, which need not be hashed again. */
  readonly #lastShown = new WeakMap<object, Shown>()

  constructor({ adminKey, sql, circuit, jwt }: CallersOptions) {
    this.#adminKey = sha256(adminKey)
    this.#tokens = jwt && new Tokens(jwt)
    this.keys = new KnownKeys({ sql, circuit })
  }

  /**
   * @param authorization the header of a request. @param url of the request. @param connection that it came over.
   * @returns who sends it; at once if that is known.
   * @throws Problem `unauthenticated`, or `unavailable` when the record or the issuer of tokens must be asked and does not answer.
   */
  identify(authorization: string | undefined, url: string, connection?: object): Caller | Promise<Caller> {
    const last = connection && this.#lastShown.get(connection)
    if (last && last.authorization === authorization) return this.#judge(last.key, last.digest)
    const key = bearerOf(authorization, url)
    const digest = sha256(key)
    if (connection) this.#lastShown.set(connection, { authorization, key, digest })
    return this.#judge(key, digest)
  }

  /**
   * @param shown a key or a token.
   * @returns whose it is. @throws as {@link identify}.
   */
  whoShows(shown: string): Caller | Promise<Caller> {
    return this.#judge(shown, sha256(shown))
  }

  #judge(shown: string, digest: Buffer): Caller | Promise<Caller> {
    if (timingSafeEqual(digest, this.#adminKey)) return keeper
    if (looksLikeToken.test(shown)) return this.#bearerOfToken(shown)
    const verdict = this.keys.judge(shown, digest)
    return verdict instanceof Promise ? verdict.then(callerOf) : callerOf(verdict)
  }

  /**
   * Tells once when what a request has shown holds no longer: the key was revoked, or it has expired. That it cannot be checked tells nothing.
   *
   * @returns what ends the watch.
   */
  watch(authorization: string | undefined, onOver: () => void): () => void {
    return this.#watch.add(authorization ?? '', () => this.identify(authorization, ''), onOver)
  }

  /** Ends every watch, and resolves when nothing is being written. */
  async close(): Promise<void> {
    this.#watch.close()
    await this.keys.drained()
  }

  #bearerOfToken(token: string): Caller | Promise<Caller> {
    if (!this.#tokens) throw refused('This installation takes no tokens of others. Send an API key.')
    return this.#tokens.judge(token)
  }
}

function sha256(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}

/** @throws Problem when it is no key that was shown. */
function bearerOf(authorization: string | undefined, url: string): string {
  if (authorization === undefined) throw namesKey.test(url) ? keyInUrl() : nothingShown()
  const [, shown] = /^Bearer +(\S+) *$/i.exec(authorization) ?? []
  if (shown !== undefined) return shown
  throw /^Basic\b/i.test(authorization) ? basicShown() : otherScheme()
}

function callerOf(verdict: KeyVerdict): Caller {
  if (verdict === 'unknown') throw unknownKey()
  if (verdict === 'expired') throw expiredKey()
  return { tenant: verdict.tenant, keyId: verdict.id, role: verdict.role }
}
