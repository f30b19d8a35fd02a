import { hash } from 'node:crypto'
import { tenantPattern } from '@jobyard/db/api-keys'
import { decodeProtectedHeader, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose'
import { Problem, unavailable } from '../problem.ts'
import { printable } from './printable.ts'
import { highestOf, type Caller } from './caller.ts'
import { algorithms, type JwtSettings } from './jwt-settings.ts'
import { refused } from './refusals.ts'
import { KeysAwayError, remoteKeys, type IssuersKeys } from './remote-keys.ts'

/** Longest token, in bytes. */
const longestToken = 8_192
/** Tokens that are remembered. */
const maxRemembered = 10_000
/** By how much clocks may differ, in seconds. */
const clockToleranceS = 5
/** Longest part of a subject that names its bearer. */
const longestSubject = 200
/** Parts of a header that bring a key along, or say where one is. */
const bringsKey = ['jku', 'jwk', 'x5u', 'x5c'] as const

/** Who has shown a token, and until when that holds, in milliseconds since 1970. */
export interface TokenBearer extends Caller {
  readonly until: number
}

/** Tells whose a token is. Those that were found right are remembered until they expire, or the keys are fetched again. */
export class Tokens {
  readonly #settings: JwtSettings
  readonly #keys: IssuersKeys
  readonly #remembered = new Map<string, TokenBearer>()
  /** Times that the keys were fetched: what was found right by older ones is not remembered. */
  #generation = 0

  constructor(settings: JwtSettings) {
    const { keys } = settings
    this.#settings = settings
    this.#keys =
      'jwksUrl' in keys
        ? remoteKeys(keys.jwksUrl, () => this.#forgetAll())
        : { find: async () => keys.publicKey, refresh: () => {} }
  }

  /**
   * @returns the bearer of a token; at once if it was shown before.
   * @throws Problem `unauthenticated`, or `unavailable` when its key is not known and cannot be fetched.
   */
  judge(token: string): TokenBearer | Promise<TokenBearer> {
    if (token.length > longestToken)
      throw refused(`The token is longer than ${longestToken} bytes. Ask for a shorter one.`)
    this.#keys.refresh()
    const digest = hash('sha256', token, 'base64')
    const bearer = this.#remembered.get(digest)
    if (bearer && bearer.until > Date.now()) return bearer
    this.#remembered.delete(digest)
    return this.#verify(token, digest)
  }

  #forgetAll(): void {
    this.#generation++
    this.#remembered.clear()
  }

  async #verify(token: string, digest: string): Promise<TokenBearer> {
    refuseKeysOfItsOwn(token)
    let generation = -1
    const find: JWTVerifyGetKey = async (header, input) => {
      generation = this.#generation
      const key = await this.#keys.find(header, input)
      return generation === this.#generation ? key : find(header, input)
    }
    try {
      const { issuer, audience, keys } = this.#settings
      const { payload } = await jwtVerify(token, find, {
        issuer,
        audience,
        algorithms: 'algorithm' in keys ? [keys.algorithm] : [...algorithms],
        requiredClaims: ['exp'],
        clockTolerance: clockToleranceS,
      })
      const bearer = bearerOf(payload)
      if (generation !== this.#generation) return bearer
      this.#remembered.set(digest, bearer)
      const [oldest] = this.#remembered.keys()
      if (this.#remembered.size > maxRemembered && oldest !== undefined) this.#remembered.delete(oldest)
      return bearer
    } catch (error) {
      throw problemOfToken(error)
    }
  }
}

function refuseKeysOfItsOwn(token: string): void {
  const named = bringsKey.find((name) => name in headerOf(token))
  if (named)
    throw refused(`The token's header has \`${named}\`. Keys are taken from the configuration only; leave it out.`)
}

function headerOf(token: string): object {
  try {
    return decodeProtectedHeader(token)
  } catch {
    throw unreadable()
  }
}

/** @throws Problem when a claim is missing. */
function bearerOf({ sub = '', exp = 0, ...claims }: JWTPayload): TokenBearer {
  const { tenant, roles } = claims
  if (typeof tenant !== 'string' || !tenantPattern.test(tenant))
    throw refused('The token needs the claim `tenant`: a name of letters, digits, dots, dashes and underscores.')
  if (!Array.isArray(roles))
    throw refused('The token needs the claim `roles`: an array of reader, submitter, operator, admin.')
  const keyId = `jwt:${printable(String(sub), longestSubject)}`
  return { tenant, keyId, role: highestOf(roles), until: (exp + clockToleranceS) * 1_000 }
}

function problemOfToken(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof KeysAwayError)
    return unavailable(
      'The token cannot be checked, since the keys of its issuer cannot be fetched. Nothing was done; repeat the request in a second.',
      error,
    )
  if (error instanceof errors.JWTExpired) return refused('The token has expired. Get a new one from your issuer.')
  if (error instanceof errors.JWTClaimValidationFailed) return refused(sentenceOf(error))
  if (error instanceof errors.JOSEAlgNotAllowed)
    return refused(
      `The token is not signed in a way that is believed here. Sign it with one of ${algorithms.join(', ')}.`,
    )
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
    return refused("The token's key is not known. Name in `kid` one that your issuer publishes.")
  return error instanceof errors.JWSSignatureVerificationFailed
    ? refused("The token's signature is wrong. Get a new one from your issuer.")
    : unreadable()
}

function sentenceOf({ claim, reason }: errors.JWTClaimValidationFailed): string {
  if (reason === 'missing') return `The token lacks the claim \`${claim}\`. Have your issuer add it.`
  if (claim === 'nbf') return 'The token is not valid yet. Check the clocks.'
  const isForOthers = claim === 'iss' || claim === 'aud'
  return isForOthers
    ? `The token's \`${claim}\` is not the one that is configured here: it was made for something else.`
    : `The token's claim \`${claim}\` is of no use. Have your issuer mend it.`
}

const unreadable = () =>
  refused('This is no token that can be read. Send the whole token of your issuer, or an API key.')
