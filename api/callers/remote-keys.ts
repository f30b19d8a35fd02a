import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey } from 'jose'

/** Time between two fetches for a key that is not known, and after a fetch that has failed, in milliseconds. */
const cooldownMs = 10_000
const failedCooldownMs = 1_000
/** Age at which keys are fetched again beside the traffic, in milliseconds; until that has worked the old ones count. */
const refreshAfterMs = 300_000
const fetchWithinMs = 3_000
/** Longest set of keys, in bytes. */
const longestKeySet = 1_048_576

/** Thrown when the keys of the issuer could not be fetched. */
export class KeysAwayError extends Error {
  override readonly name = 'KeysAwayError'
}

/** Where the keys of an issuer are found. */
export interface IssuersKeys {
  /** Finds the key of a token. Throws KeysAwayError, or the errors of jose. */
  readonly find: JWTVerifyGetKey
  /** Fetches the keys again beside the traffic, if they are old. */
  readonly refresh: () => void
}

/**
 * The keys of an issuer, from the one URL that the configuration names, whatever a token says. They are fetched when a token names one
 * that is not known, at most every ten seconds, and every five minutes.
 *
 * @param onNewKeys told after every fetch that has worked, once its keys count.
 */
export function remoteKeys(url: URL, onNewKeys: () => void): IssuersKeys {
  let failedAt = -Infinity
  let fetchedAt = -Infinity
  let refreshedAt = -Infinity
  let toldAt = -Infinity
  const fetchOnce = async (address: string, init: RequestInit): Promise<Response> => {
    if (performance.now() - failedAt < failedCooldownMs) throw new KeysAwayError('The last fetch has just failed')
    try {
      const answer = await fetch(address, init)
      if (answer.status !== 200) throw new Error(`It was answered with ${answer.status}`)
      return new Response(await readKeySet(answer))
    } catch (cause) {
      failedAt = performance.now()
      throw new KeysAwayError('The keys of the issuer could not be fetched', { cause })
    }
  }
  const keys = createRemoteJWKSet(url, {
    cooldownDuration: cooldownMs,
    cacheMaxAge: Infinity,
    timeoutDuration: fetchWithinMs,
    [customFetch]: async (address, init) => {
      const answer = await fetchOnce(address, init)
      fetchedAt = performance.now()
      return answer
    },
  })
  const tellOfNewKeys = () => {
    if (toldAt === fetchedAt || keys.reloading) return
    toldAt = fetchedAt
    onNewKeys()
  }
  const refresh = () => {
    const now = performance.now()
    if (now - fetchedAt <= refreshAfterMs || now - refreshedAt <= cooldownMs || keys.jwks() === undefined) return
    refreshedAt = now
    keys.reload().then(tellOfNewKeys, () => {})
  }
  const find: JWTVerifyGetKey = async (header, token) => {
    try {
      return await keys(header, token)
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error
      throw error instanceof KeysAwayError
        ? error
        : new KeysAwayError('The keys of the issuer are of no use', { cause: error })
    } finally {
      tellOfNewKeys()
    }
  }
  return { find, refresh }
}

/** @throws Error when it is longer than any set of keys. */
async function readKeySet({ body }: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of body ?? []) {
    length += piece.length
    if (length > longestKeySet) throw new Error(`It is longer than ${longestKeySet} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}
