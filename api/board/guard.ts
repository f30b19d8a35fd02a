import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../callers/caller.ts'
import { admit } from '../plugins/auth.ts'
import { sendProblem } from '../plugins/errors.ts'
import { Problem } from '../problem.ts'

/**
 * Makes the hook that stands before everything of the board: a browser sends the password with every request, so requests that
 * another site caused are refused first.
 *
 * @param whoShows whose key somebody shows. Throws a Problem `unauthenticated` when it is nobody's.
 */
export function boardGuard(whoShows: (key: string) => Caller | Promise<Caller>) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    if (isCrossSite(request)) return sendProblem(reply, crossSite())
    try {
      admit(request, await whoShows(passwordOf(request.headers.authorization)))
      return undefined
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      return sendProblem(reply, error.kind === 'unauthenticated' ? unauthenticated() : error)
    }
  }
}

/** Browsers that do not tell where a request comes from still tell it for one that changes something, by Origin. */
function isCrossSite({ headers, method }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  if (method === 'GET' || method === 'HEAD' || headers.origin === undefined) return false
  return !URL.canParse(headers.origin) || new URL(headers.origin).host !== headers.host
}

/** @returns what follows the first colon: any user name goes. */
function passwordOf(authorization = ''): string {
  const [, credentials] = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization) ?? []
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(credentials ?? '', 'base64').toString()) ?? []
  return password ?? ''
}

function crossSite(): Problem {
  return new Problem(
    'forbidden',
    'Another site asked for this. Type the address of the board instead of following a link.',
  )
}

function unauthenticated(): Problem {
  return new Problem(
    'unauthenticated',
    'Log in with any user name, and the key of an admin of the tenant default as the password. The first one stands in JOBYARD_HOME/admin-key.',
    {
      headers: { 'www-authenticate': 'Basic realm="jobyard board"' },
    },
  )
}
