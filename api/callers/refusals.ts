import type { Role } from '@jobyard/db/api-keys'
import { Problem } from '../problem.ts'

const howTo = 'Send `Authorization: Bearer <key>`.'
const challenge = 'Bearer realm="jobyard"'

/** The 401 of who has shown nothing. */
export function nothingShown(): Problem {
  return new Problem('unauthenticated', `${howTo} The first admin key stands in JOBYARD_HOME/admin-key.`, {
    headers: { 'www-authenticate': challenge },
  })
}

/** The 401 of who has shown something that lets nobody in. @param detail what is wrong with it, and how to mend it. */
export function refused(detail: string): Problem {
  return new Problem('unauthenticated', detail, {
    headers: { 'www-authenticate': `${challenge}, error="invalid_token"` },
  })
}

export const unknownKey = () =>
  refused(`This key is not known: it is mistyped, or it was revoked. Ask an admin for another one. ${howTo}`)

export const expiredKey = () => refused('This key has expired. Ask an admin for another one.')

/** The 401 that ends what was open when its key was revoked, or expired. */
export const keyIsOver = () =>
  refused('The key was revoked, or it has expired. Send the lines from this index on with another one.')

export const basicShown = () =>
  refused(`${howTo} Here a key is no password; only /board takes HTTP Basic, with the key as the password.`)

export const keyInUrl = () =>
  refused(`${howTo} Keys are not read from the URL, where logs keep them: revoke one that has been there.`)

export const otherScheme = () => refused(`${howTo} No other scheme is known here.`)

/** The 403 of a caller whose role is too low. */
export function roleTooLow(own: Role | undefined, needed: Role): Problem {
  const has = own === undefined ? 'your token names none' : `yours is ${own}`
  return new Problem('forbidden', `This takes the role ${needed}; ${has}. Ask an admin for a key that has it.`)
}

/** The 403 of an admin whose tenant is not the one that looks after what all share. */
export function notPlatformWide(own: Role | undefined, tenant: string): Problem {
  return new Problem(
    'forbidden',
    `All tenants share this, so it takes an admin of the tenant default; you are ${own ?? 'nothing'} of ${tenant}.`,
  )
}
