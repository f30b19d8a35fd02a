import type { Header, Parameter, Reference } from './document.ts'

type Headers = Record<string, Header>

const location: Headers = { Location: { description: 'Where to read what was made', schema: { type: 'string' } } }
const replayed: Headers = {
  'Idempotency-Replayed': {
    description: '`true`: this is the first answer to the key, again; nothing was made now',
    schema: { const: 'true' },
  },
}

const deduplicated: Headers = {
  'Jobyard-Deduplicated': {
    description: '`true`: an unfinished job had the `deduplicationKey`, and this is it; nothing was made now',
    schema: { const: 'true' },
  },
}
const etag: Headers = { ETag: { description: 'For `If-None-Match` of a later read', schema: { type: 'string' } } }

/** Headers of requests that several calls have. */
export const sharedParameters: Record<string, Parameter> = {
  IdempotencyKey: {
    in: 'header',
    name: 'Idempotency-Key',
    description:
      'Printable ASCII of your choice, new for each new request. The same again is answered as the first was, and makes nothing twice; ' +
      'with another body it is refused.',
    schema: { type: 'string', pattern: '^[\\x20-\\x7e]{1,255}$' },
  },
  Prefer: {
    in: 'header',
    name: 'Prefer',
    description:
      '`wait=20`: answer when the job has ended, or after so many seconds as it is then; 60 at most (RFC 7240)',
    schema: { type: 'string' },
  },
  IfNoneMatch: {
    in: 'header',
    name: 'If-None-Match',
    description: '`ETag` of an earlier answer: 304 when it still holds',
    schema: { type: 'string' },
  },
}

const parameters: Record<string, (keyof typeof sharedParameters)[]> = {
  submitJob: ['IdempotencyKey', 'Prefer'],
  redriveJob: ['IdempotencyKey'],
  getJob: ['IfNoneMatch'],
}

const headers: Record<string, Headers> = {
  'submitJob 200': { ...location, ...replayed, ...deduplicated },
  'submitJob 202': { ...location, ...replayed, ...deduplicated },
  'redriveJob 202': { ...location, ...replayed },
  'getJob 200': etag,
  'getJob 304': etag,
  'createEndpoint 201': location,
  'testEndpoint 202': location,
  'redeliver 202': location,
  'putSchedule 201': location,
  'triggerSchedule 202': location,
}

/** @returns headers that a success of an operation has. */
export function headersOf(operationId: string, status: string): Headers | undefined {
  return headers[`${operationId} ${status}`]
}

/** @returns the headers that an operation understands. */
export function parametersOf(operationId: string): Reference[] {
  return (parameters[operationId] ?? []).map((name) => ({ $ref: `#/components/parameters/${name}` }))
}
