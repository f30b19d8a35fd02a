import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'

/** Has a scope's answers of status 200 carry an `ETag`, and be 304 where `If-None-Match` holds it (RFC 9110, 13.1.2). */
export function answerConditionally(scope: FastifyInstance): void {
  scope.addHook('onSend', async ({ headers }, reply, payload) => {
    if (reply.statusCode !== 200 || typeof payload !== 'string') return payload
    const etag = `"${createHash('sha1').update(payload).digest('base64url')}"`
    reply.header('etag', etag)
    if (!holds(headers['if-none-match'], etag)) return payload
    reply.code(304).removeHeader('content-type')
    return null
  })
}

function holds(condition = '', etag: string): boolean {
  return condition.trim() === '*' || (condition.match(/"[^"]*"/g)?.includes(etag) ?? false)
}
