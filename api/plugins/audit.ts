import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { AuditBook } from '../callers/audit-book.ts'
import { printable } from '../callers/printable.ts'
import { unavailable } from '../problem.ts'
import type { withinRecordBounds } from './record-bounds.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether a body with `dryRun: true` makes the route change nothing. */
    dryRuns?: boolean
  }
  interface FastifyRequest {
    /** Its entry in the audit log; null when it has none. */
    auditId: string | null
    /** What it was about, where its path does not say; the id that its answer's Location names when empty. */
    auditTarget: string
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
  app.decorateRequest('auditTarget', '')
  const noteBefore = async (request: FastifyRequest): Promise<void> => {
    if (isDryRun(request)) return
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
  }
  const noteOutcome = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { auditId: id } = request
    if (id !== null) book.noteOutcome({ id, status: reply.statusCode, target: targetFound(request, reply) })
  }
  app.addHook('onRoute', (route) => {
    if (!isAudited(route)) return
    route.preHandler = [route.preHandler ?? []].flat().concat(noteBefore)
    route.onSend = [route.onSend ?? []].flat().concat(noteOutcome)
  })
}

function isAudited({ method, config }: RouteOptions): boolean {
  const changes = [method].flat().some((each) => each !== 'GET' && each !== 'HEAD')
  return changes && (config?.role === 'operator' || config?.role === 'admin')
}

function isDryRun({ body, routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.dryRuns === true && (body as { dryRun?: unknown } | undefined | null)?.dryRun === true
}

/** @returns what is known of the target only now; empty when the entry says it all. */
function targetFound({ auditTarget, params }: FastifyRequest, reply: FastifyReply): string {
  if (auditTarget !== '') return printable(auditTarget, longestTarget)
  const { location } = reply.getHeaders()
  if (Object.keys(params as object).length > 0 || typeof location !== 'string') return ''
  return printable(location.slice(location.lastIndexOf('/') + 1), longestTarget)
}

/** The board's calls are none of the API's documented ones. */
function actionOf({ method, routeOptions: { schema, url } }: FastifyRequest): string {
  return schema?.operationId ?? `${method} ${url}`
}
