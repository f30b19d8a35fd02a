/** What a handler may tell about a failed attempt besides its message. */
export interface FailureOptions extends ErrorOptions {
  /** Any JSON value, kept and shown as `error.detail` of the attempt; one of more than 8,192 characters is left out. */
  readonly detail?: unknown
}

/** Thrown by a handler when trying again cannot help: the job fails at once. */
export class PermanentError extends Error {
  override readonly name = 'PermanentError'
  /** Short machine-readable reason, kept as the job's `error.reason`. */
  readonly reason: string
  readonly detail: unknown

  /**
   * @param message what happened, for the person who reads the job.
   * @param reason snake_case word for programs.
   */
  constructor(message: string, reason = 'permanent', options?: FailureOptions) {
    super(message, options)
    this.reason = reason
    this.detail = options?.detail
  }
}

/** Thrown by a handler when the attempt has failed, to say more than an ordinary error can; it costs an attempt like any other. */
export class RetryError extends Error {
  override readonly name = 'RetryError'
  /** Short machine-readable reason, kept as `error.reason`. */
  readonly reason: string
  readonly detail: unknown
  /** Wait before the next attempt, in milliseconds, instead of the one that the type's policy gives; undefined to leave it to that. */
  readonly delayMs: number | undefined

  /**
   * @param message what happened, for the person who reads the job.
   * @param options `delayMs`, for instance what a server asked for by Retry-After: 0 to ten years, at least one second is waited.
   */
  constructor(
    message: string,
    options: FailureOptions & { readonly reason?: string; readonly delayMs?: number | undefined } = {},
  ) {
    super(message, options)
    this.reason = options.reason ?? 'error'
    this.detail = options.detail
    this.delayMs = options.delayMs
  }
}

/** Thrown by a handler to run again later without spending an attempt. */
export class SnoozeError extends Error {
  override readonly name = 'SnoozeError'
  /** Wait before the next run, in milliseconds; the platform's floor is one second. */
  readonly delayMs: number
  /** Short machine-readable reason, kept with the message as the attempt's `error`; undefined when nothing is to be told. */
  readonly reason: string | undefined

  /**
   * @param message why, for the person who reads the job; the attempt tells nothing when absent.
   * @param reason snake_case word for programs.
   */
  constructor(delayMs: number, message?: string, reason = 'snoozed') {
    super(message ?? `snoozed for ${delayMs} ms`)
    this.delayMs = delayMs
    this.reason = message === undefined ? undefined : reason
  }
}

/** Thrown where work is refused because Postgres does not answer. Nothing of it was sent. */
export class RecordAwayError extends Error {
  override readonly name = 'RecordAwayError'
}

/** Thrown where work is refused because too much of it waits, or has waited for too long. Nothing of it was sent. */
export class OverloadedError extends Error {
  override readonly name = 'OverloadedError'
}
