import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AuditBook } from '../callers/audit-book.ts'
import { printable } from '../callers/printable.ts'
import { unavailable } from '../problem.ts'
import type { withinRecordBounds } from './record-bounds.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Its entry in the audit log; null when it has none. */
    auditId: string | null
  }
}

/** Longest target of an entry. */
const longestTarget = 300
/** Longest address of an entry: what a proxy says may be anything. */
const longestAddress = 64

/**
 * Writes every call of an operator or admin that changes something into the audit log before it is carried out, and how it ended afterwards.
 * One that cannot be written down is not carried out. Dry runs change nothing.
 */
export function registerAudit(
  app: FastifyInstance,
  book: AuditBook,
  bounded: ReturnType<typeof withinRecordBounds>,
): void {
  app.decorateRequest('auditId', null)
  app.addHook('preHandler', async (request) => {
    if (!isAudited(request)) return
    const { tenant, keyId, ip, params } = request
    const target = printable(Object.values(params as Record<string, string>).join(' '), longestTarget)
    const entry = { tenant, actor: keyId, action: actionOf(request), target, address: printable(ip, longestAddress) }
    try {
      request.auditId = await bounded(() => book.note(entry))
    } catch (error) {
      throw unavailable(
        'The audit log cannot be written now, which comes first, so nothing of it was stored. Repeat the request in a second.',
        error,
      )
    }
  })
  app.addHook('onResponse', async ({ auditId }, { statusCode }) => {
    if (auditId !== null) book.noteOutcome(auditId, statusCode)
  })
}

function isAudited({ is404, method, body, routeOptions }: FastifyRequest): boolean {
  const { role } = routeOptions.config
  if (is404 || method === 'GET' || method === 'HEAD' || (role !== 'operator' && role !== 'admin')) return false
  return (body as { dryRun?: unknown } | undefined | null)?.dryRun !== true
}

/** The board's calls are none of the API's documented ones. */
function actionOf({ method, routeOptions: { schema, url } }: FastifyRequest): string {
  return schema?.operationId ?? `${method} ${url}`
}
