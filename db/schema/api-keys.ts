import { customType, index, pgTable, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core'

const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })
const bytes = customType<{ data: Buffer }>({ dataType: () => 'bytea' })

/** Who may call the API. A key that is revoked is deleted; the audit log remembers it. */
export const apiKeys = pgTable(
  'api_keys',
  {
    id: uuid('id').primaryKey(),
    tenant: text('tenant').notNull(),
    name: text('name').notNull(),
    role: text('role').notNull(),
    /** SHA-256 of the key, which is shown once and stored nowhere. */
    hash: bytes('hash').notNull(),
    /** The first characters of the key, by which people recognise it. */
    prefix: text('prefix').notNull(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at'),
    /** To the minute. */
    lastUsedAt: instant('last_used_at'),
  },
  (key) => [uniqueIndex('api_keys_by_hash').on(key.hash), index('api_keys_by_tenant').on(key.tenant, key.id)],
)
