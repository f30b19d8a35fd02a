/** Thrown by a handler when trying again cannot help: the job fails at once. */
export class PermanentError extends Error {
  override readonly name = 'PermanentError'
  /** Short machine-readable reason, kept as the job's `error.reason`. */
  readonly reason: string

  /**
   * @param message what happened, for the person who reads the job.
   * @param reason snake_case word for programs.
   */
  constructor(message: string, reason = 'permanent', options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/** Thrown by a handler to run again later without spending an attempt. */
export class SnoozeError extends Error {
  override readonly name = 'SnoozeError'
  /** Wait before the next run, in milliseconds; the platform's floor is one second. */
  readonly delayMs: number

  constructor(delayMs: number, message = `snoozed for ${delayMs} ms`) {
    super(message)
    this.delayMs = delayMs
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
