import { lastToLookAt, listAuditEntries } from '@jobyard/db/audit-log'
import type { Sql } from '@jobyard/db/connect'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { Cursors } from '../cursor.ts'
import { pageQuery } from '../endpoint-schemas.ts'
import { problemSchema } from '../schemas.ts'

export interface AuditLogRoutesOptions {
  readonly sql: Sql
  readonly cursors: Cursors
}

/** Entries that a page looks at, so that its cost does not grow with those that do not fit. */
const look = 10_000

const problem = problemSchema.describe('application/problem+json')
const auditQuery = z.strictObject({
  ...pageQuery.shape,
  action: z
    .string()
    .max(300)
    .optional()
    .describe('The operationId of a call')
    .meta({ examples: ['cancelJob'] }),
  actor: z
    .string()
    .max(300)
    .optional()
    .describe('Id of a key, `admin` for JOBYARD_ADMIN_KEY, or `jwt:` with a subject'),
})
const entrySchema = z.object({
  id: z.string(),
  actor: z.string(),
  action: z.string(),
  target: z
    .string()
    .describe(
      'The ids and names in the path; the id of what was made; of a key its role, tenant and name too; of many jobs or deliveries how many',
    ),
  address: z.string().describe('Where the request came from'),
  askedAt: z.string(),
  outcome: z.int().optional().describe('HTTP status of the answer; absent while there is none, and when it is unknown'),
})

/** What operators and admins have asked for. */
export const auditLogRoutes: FastifyPluginAsyncZod<AuditLogRoutesOptions> = async (app, { sql, cursors }) => {
  app.get(
    '/v1/audit-log',
    {
      config: { role: 'admin' },
      schema: {
        tags: ['audit log'],
        operationId: 'listAuditLog',
        summary: 'List what operators and admins have asked for, newest first',
        description:
          'A page looks at 10,000 entries. Where few of those fit it has fewer items than `limit`, or none, and a `nextCursor` all the same: only a page without one is the last.',
        querystring: auditQuery,
        response: {
          200: z.object({ items: z.array(entrySchema), nextCursor: z.string().optional() }),
          400: problem,
          422: problem,
        },
      },
    },
    async (request) => {
      const { limit, cursor, action, actor } = request.query
      const before = cursor === undefined ? undefined : cursors.open(cursor)
      const filter = { action, actor, before }
      const from = await lastToLookAt(sql, request.tenant, filter, look)
      const rows = await listAuditEntries(sql, request.tenant, filter, { limit: limit + 1, from })
      const views = rows.map(({ tenant: _tenant, askedAt, outcome, ...entry }) => ({
        ...entry,
        askedAt: askedAt.toISOString(),
        ...(outcome !== null && { outcome }),
      }))
      const page = cursors.page(views, limit)
      return page.nextCursor === undefined && from !== undefined ? { ...page, nextCursor: cursors.seal(from) } : page
    },
  )
}
