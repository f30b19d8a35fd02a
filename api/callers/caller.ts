import { roles, type Role } from '@jobyard/db/api-keys'

/** Who calls, as far as a key or a token has shown. */
export interface Caller {
  /** Whose data the caller sees. */
  readonly tenant: string
  /** Id of the key, {@link adminKeyId}, or `jwt:` with the subject of the token. */
  readonly keyId: string
  /** The highest; undefined when a token has none. */
  readonly role: Role | undefined
}

/** The tenant of JOBYARD_ADMIN_KEY, whose admins look after what all tenants share. */
export const defaultTenant = 'default'
/** Names JOBYARD_ADMIN_KEY, which is no row of the record. */
export const adminKeyId = 'admin'

/** Who has shown JOBYARD_ADMIN_KEY. */
export const keeper: Caller = { tenant: defaultTenant, keyId: adminKeyId, role: 'admin' }

/** @returns whether a role may do what another one is needed for. */
export function mayActAs(own: Role | undefined, needed: Role): boolean {
  return own !== undefined && roles.indexOf(own) >= roles.indexOf(needed)
}

/** @returns the highest of the roles that are known; undefined when none is. */
export function highestOf(names: readonly unknown[]): Role | undefined {
  return roles.findLast((role) => names.includes(role))
}
