import { createPublicKey, type KeyObject } from 'node:crypto'

/** Ways to sign that are believed. */
export const algorithms = ['EdDSA', 'ES256', 'RS256'] as const
export type Algorithm = (typeof algorithms)[number]

/** Which tokens are believed. */
export interface JwtSettings {
  readonly issuer: string
  readonly audience: string
  readonly keys: { readonly jwksUrl: URL } | { readonly publicKey: KeyObject; readonly algorithm: Algorithm }
}

/** What the environment says of tokens. */
export interface JwtVariables {
  readonly JOBYARD_JWT_ISSUER?: string | undefined
  readonly JOBYARD_JWT_AUDIENCE?: string | undefined
  readonly JOBYARD_JWT_JWKS_URL?: string | undefined
  readonly JOBYARD_JWT_PUBLIC_KEY?: string | undefined
}

const fewestRsaBits = 2_048

/**
 * @returns which tokens are believed; undefined when the environment says nothing of them.
 * @throws Error with one line when it says half of it, or something that is of no use.
 */
export function readJwtSettings(variables: JwtVariables): JwtSettings | undefined {
  const {
    JOBYARD_JWT_ISSUER: issuer,
    JOBYARD_JWT_AUDIENCE: audience,
    JOBYARD_JWT_JWKS_URL: url,
    JOBYARD_JWT_PUBLIC_KEY: pem,
  } = variables
  if ([issuer, audience, url, pem].every((value) => value === undefined)) return undefined
  if (issuer === undefined || audience === undefined || (url === undefined) === (pem === undefined)) {
    throw new Error(
      'Bad configuration: for JWTs set JOBYARD_JWT_ISSUER, JOBYARD_JWT_AUDIENCE and one of JOBYARD_JWT_JWKS_URL and JOBYARD_JWT_PUBLIC_KEY, or none of them',
    )
  }
  return { issuer, audience, keys: url === undefined ? readPublicKey(pem ?? '') : { jwksUrl: readJwksUrl(url) } }
}

/** Keys that come unprotected could be anybody's. */
function readJwksUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isLoopback = url && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  if (url && (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback))) return url
  throw new Error('Bad configuration: JOBYARD_JWT_JWKS_URL must look like https://…; http:// is for this machine only')
}

function readPublicKey(pem: string): JwtSettings['keys'] {
  const publicKey = parsed(pem)
  const algorithm = publicKey && algorithmOf(publicKey)
  if (publicKey && algorithm) return { publicKey, algorithm }
  throw new Error(
    'Bad configuration: JOBYARD_JWT_PUBLIC_KEY must be a public key in PEM: Ed25519, EC on P-256, or RSA of 2,048 bits or more',
  )
}

/** A private key is refused: it has no business here. */
function parsed(pem: string): KeyObject | undefined {
  if (!pem.includes('-----BEGIN PUBLIC KEY-----')) return undefined
  try {
    return createPublicKey(pem)
  } catch {
    return undefined
  }
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): Algorithm | undefined {
  if (asymmetricKeyType === 'ed25519') return 'EdDSA'
  if (asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256'
  const isStrongRsa = asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= fewestRsaBits
  return isStrongRsa ? 'RS256' : undefined
}
