import { problemKinds, type ProblemKind } from '../problem.ts'
import type { Header, Reference, Response } from './document.ts'

const retryAfter = {
  'Retry-After': { description: 'Seconds after which to try again', schema: { type: 'integer', minimum: 1 } },
} as const

/** Headers of all problems of a status. */
const headers: Record<number, Record<string, Header>> = {
  401: { 'WWW-Authenticate': { description: 'How to show who you are', schema: { type: 'string' } } },
  405: { Allow: { description: 'The methods that the path has', schema: { type: 'string' } } },
  429: retryAfter,
  503: retryAfter,
}

const nameOf = (status: string | number) => `Problem${status}`

/** The answers other than success, one for each status, by name. */
export const problemResponses: Record<string, Response> = Object.fromEntries(
  [...Map.groupBy(problemKinds, ({ status }) => status)]
    .filter(([status]) => status !== 500)
    .map(([status, kinds]) => [nameOf(status), describe(status, kinds)]),
)

/** @returns a reference to the answer of a status. */
export function responseOf(status: string): Reference {
  if (!(nameOf(status) in problemResponses)) throw new Error(`No kind of problem has the status ${status}`)
  return { $ref: `#/components/responses/${nameOf(status)}` }
}

function describe(status: number, kinds: readonly { kind: ProblemKind; title: string }[]): Response {
  return {
    description: kinds.map(({ kind, title }) => `\`${kind}\`: ${title}.`).join(' '),
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    ...(headers[status] && { headers: headers[status] }),
  }
}
