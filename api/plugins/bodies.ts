import type { FastifyInstance, FastifyRequest } from 'fastify'
import { readJson } from '../parse-json.ts'
import { Problem } from '../problem.ts'

/** Has bodies read as strict JSON; every other media type is refused, where a route does not add its own. */
export function registerBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      refuseEncoding(request)
      done(null, readJson(body as Buffer))
    } catch (error) {
      done(error as Error)
    }
  })
}

/** @throws Problem `unsupported-media-type` when a body is anything but plain UTF-8. */
export function refuseEncoding({ headers }: FastifyRequest): void {
  const charset = /;\s*charset="?([^\s;"]*)/i.exec(headers['content-type'] ?? '')?.[1] ?? 'utf-8'
  const encoding = headers['content-encoding'] ?? 'identity'
  if (/^utf-?8$/i.test(charset) && /^identity$/i.test(encoding)) return
  throw new Problem('unsupported-media-type', 'Send the body as UTF-8, without a Content-Encoding.')
}
