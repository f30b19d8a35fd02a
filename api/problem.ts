/** Kinds of problems that the API answers with, each with its HTTP status and title. */
const kinds = {
  'invalid-json': [400, 'The body is not valid JSON'],
  'bad-request': [400, 'The request cannot be understood'],
  'invalid-cursor': [400, 'The cursor is not one of ours'],
  unauthenticated: [401, 'Authentication is required'],
  forbidden: [403, 'This key may not do that'],
  'not-found': [404, 'There is no such thing'],
  'method-not-allowed': [405, 'This resource has no such method'],
  timeout: [408, 'The client took too long'],
  conflict: [409, 'The present state does not allow this'],
  'too-large': [413, 'The body is too large'],
  'headers-too-large': [431, 'URL and headers are too large'],
  'unsupported-media-type': [415, 'The body must be JSON'],
  'validation-failed': [422, 'The request does not fit the schema'],
  'unknown-job-type': [422, 'There is no such job type'],
  'url-not-allowed': [422, 'The endpoint may not be called like this'],
  'cron-invalid': [422, 'The schedule would never fire, or not as meant'],
  'idempotency-key-reused': [422, 'The idempotency key belongs to another request'],
  'rate-limited': [429, 'Too much at once'],
  'quota-exceeded': [429, 'Too much waits already'],
  unavailable: [503, 'The platform cannot answer right now'],
  internal: [500, 'Something went wrong on our side'],
} as const satisfies Record<string, readonly [number, string]>

export type ProblemKind = keyof typeof kinds

/** Every kind of problem with its HTTP status and title. */
export const problemKinds = Object.entries(kinds).map(([kind, [status, title]]) => ({
  kind: kind as ProblemKind,
  status: status as number,
  title: title as string,
}))

/** One thing that is wrong with a request, and where. */
export interface FieldError {
  readonly path: string
  readonly message: string
}

/** The body of an RFC 9457 answer. */
export interface ProblemDocument {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly errors?: FieldError[]
}

const typePrefix = 'https://jobyard.dev/problems/'

/** An answer other than success, for the person who must act on it. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly kind: ProblemKind
  readonly errors: readonly FieldError[] | undefined
  /** Headers that belong to the answer. */
  readonly headers: Readonly<Record<string, string>>

  /** @param detail what happened and how to mend it. */
  constructor(
    kind: ProblemKind,
    detail: string,
    extra: { errors?: readonly FieldError[]; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(detail, { cause: extra.cause })
    this.kind = kind
    this.errors = extra.errors
    this.headers = extra.headers ?? {}
  }

  get status(): number {
    return kinds[this.kind][0]
  }

  /** @returns the document that is sent. */
  toJSON(): ProblemDocument {
    const [status, title] = kinds[this.kind]
    return {
      type: typePrefix + this.kind,
      title,
      status,
      detail: this.message,
      ...(this.errors && { errors: [...this.errors] }),
    }
  }
}

/** The 404 of a job that does not exist, or belongs to somebody else. */
export function noSuchJob(id: string): Problem {
  return new Problem(
    'not-found',
    `There is no job ${id.slice(0, 80)}. Check the id; finished jobs are deleted after their retention.`,
  )
}

/** The 404 of an endpoint that does not exist, or belongs to somebody else. */
export function noSuchEndpoint(id: string): Problem {
  return new Problem('not-found', `There is no endpoint ${id.slice(0, 80)}. See /v1/endpoints.`)
}

/** The 404 of a delivery that does not exist, or belongs to somebody else. */
export function noSuchDelivery(id: string): Problem {
  return new Problem(
    'not-found',
    `There is no delivery ${id.slice(0, 80)}. Check the id; deliveries are deleted after their retention.`,
  )
}

/** The 404 of a schedule that does not exist, or belongs to somebody else. */
export function noSuchSchedule(name: string): Problem {
  return new Problem('not-found', `There is no schedule "${name.slice(0, 80)}". See /v1/schedules.`)
}

/** The 404 of a queue that does not exist. */
export function noSuchQueue(name: string): Problem {
  return new Problem('not-found', `There is no queue "${name.slice(0, 80)}". See /v1/queues.`)
}

/** The 503 of what will go through later. @param detail also says what is known of the request. */
export function unavailable(detail: string, cause?: unknown): Problem {
  return new Problem('unavailable', detail, { headers: { 'retry-after': '1' }, cause })
}
