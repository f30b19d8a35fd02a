import { hash, randomBytes } from 'node:crypto'
import {
  deleteApiKey,
  insertApiKey,
  listApiKeys,
  readApiKey,
  roles,
  tenantPattern,
  type ApiKeyRow,
} from '@jobyard/db/api-keys'
import type { Sql } from '@jobyard/db/connect'
import { isId, newId } from '@jobyard/db/ids'
import { instant } from '@jobyard/queues/job-terms'
import type { FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { adminKeyId } from '../callers/caller.ts'
import type { Callers } from '../callers/callers.ts'
import type { Cursors } from '../cursor.ts'
import { pageQuery } from '../endpoint-schemas.ts'
import { instants } from '../instants.ts'
import { invalid } from '../plugins/errors.ts'
import { Problem } from '../problem.ts'
import { problemSchema } from '../schemas.ts'

export interface ApiKeyRoutesOptions {
  readonly sql: Sql
  readonly callers: Callers
  readonly cursors: Cursors
}

/** Characters of a key by which people recognise it: too few to guess the rest by. */
const prefixLength = 8
const keyBytes = 32

const tags = ['api keys']
const params = z.object({ id: z.string() })
const problem = problemSchema.describe('application/problem+json')
const tenant = z.string().regex(tenantPattern, 'must be 1 to 64 letters, digits, dots, dashes and underscores')

const newKeySchema = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(100)
    .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'must be plain text')
    .describe('For people')
    .meta({ examples: ['checkout service'] }),
  role: z
    .enum(roles)
    .describe('Each role includes those before it')
    .meta({ examples: ['submitter'] }),
  tenant: tenant.optional().describe('Your own when absent; only JOBYARD_ADMIN_KEY may name another one'),
  expiresAt: instant.optional().describe('From then on the key is refused; never when absent'),
})
const keyFields = {
  id: z.string(),
  name: z.string(),
  role: z.enum(roles),
  tenant: z.string(),
  prefix: z.string().describe('The first characters of the key'),
  createdAt: z.string(),
  expiresAt: z.string().optional(),
  lastUsedAt: z.string().optional().describe('To the minute'),
}
const keySchema = z.object(keyFields)
const shownKeySchema = z.object({ ...keyFields, key: z.string().describe('Shown this once, and stored nowhere') })

/** Making keys, looking at them, and revoking them. JOBYARD_ADMIN_KEY looks after those of all tenants, other admins after those of their own. */
export const apiKeyRoutes: FastifyPluginAsyncZod<ApiKeyRoutesOptions> = async (app, { sql, callers, cursors }) => {
  const reach = (request: FastifyRequest) => (request.keyId === adminKeyId ? undefined : request.tenant)

  app.post(
    '/v1/api-keys',
    {
      config: { role: 'admin' },
      schema: {
        tags,
        operationId: 'createApiKey',
        summary: 'Make an API key',
        description: 'The `key` of the answer is shown this once. It goes into `Authorization: Bearer <key>`.',
        body: newKeySchema,
        response: { 201: shownKeySchema, 403: problem, 422: problem },
      },
    },
    async (request, reply) => {
      const { name, role, tenant: named = request.tenant, expiresAt } = request.body
      if (named !== (reach(request) ?? named)) throw otherTenant()
      const key = `jy_${randomBytes(keyBytes).toString('base64url')}`
      const row = await insertApiKey(sql, {
        id: newId(),
        tenant: named,
        name,
        role,
        hash: hash('sha256', key, 'buffer'),
        prefix: key.slice(0, prefixLength),
        expiresAt: expiresAt === undefined ? null : new Date(expiresAt),
      })
      if (!row) throw invalid([{ path: 'expiresAt', message: 'must lie in the future' }])
      request.auditTarget = keyInWords(row)
      return reply
        .code(201)
        .header('location', `/v1/api-keys/${row.id}`)
        .send({ ...viewKey(row), key })
    },
  )

  app.get(
    '/v1/api-keys',
    {
      config: { role: 'admin' },
      schema: {
        tags,
        operationId: 'listApiKeys',
        summary: 'List API keys, newest first',
        querystring: pageQuery,
        response: {
          200: z.object({ items: z.array(keySchema), nextCursor: z.string().optional() }),
          400: problem,
          422: problem,
        },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const before = cursor === undefined ? undefined : cursors.open(cursor)
      const rows = await listApiKeys(sql, reach(request), { limit: limit + 1, before })
      return cursors.page(rows.map(viewKey), limit)
    },
  )

  app.get(
    '/v1/api-keys/:id',
    {
      config: { role: 'admin' },
      schema: {
        tags,
        operationId: 'getApiKey',
        summary: 'Read an API key',
        params,
        response: { 200: keySchema, 404: problem },
      },
    },
    async (request) => {
      const { id } = request.params
      const row = isId(id) ? await readApiKey(sql, reach(request), id) : undefined
      if (!row) throw noSuchKey(id)
      return viewKey(row)
    },
  )

  app.delete(
    '/v1/api-keys/:id',
    {
      config: { role: 'admin' },
      schema: {
        tags,
        operationId: 'revokeApiKey',
        summary: 'Revoke an API key',
        description:
          'It is refused within a second everywhere, and what is open under it ends within a few. The audit log remembers it.',
        params,
        response: { 204: z.null().describe('It is revoked'), 404: problem },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const revoked = isId(id) ? await deleteApiKey(sql, reach(request), id) : undefined
      if (!revoked) throw noSuchKey(id)
      callers.keys.forget(id)
      request.auditTarget = keyInWords(revoked)
      return reply.code(204).send(null)
    },
  )
}

function viewKey({ id, name, role, tenant: owner, prefix, createdAt, expiresAt, lastUsedAt }: ApiKeyRow) {
  const dates = { createdAt: createdAt.toISOString(), ...instants({ expiresAt, lastUsedAt }) }
  return { id, name, role, tenant: owner, prefix, ...dates }
}

/** What the audit log says of a key, also when it is gone. */
function keyInWords({ id, name, role, tenant: owner }: ApiKeyRow): string {
  return `${id} ${role} of ${owner}: ${name}`
}

function noSuchKey(id: string): Problem {
  return new Problem('not-found', `There is no API key ${id.slice(0, 80)}. It may be revoked. See /v1/api-keys.`)
}

function otherTenant(): Problem {
  return new Problem(
    'forbidden',
    'Only JOBYARD_ADMIN_KEY makes keys for another tenant. Leave `tenant` out, or have its holder make the key.',
  )
}
