import { pino, type Logger } from 'pino'

/** What the platform logs about an attempt once its outcome is committed. */
export interface LoggedAttempt {
  readonly jobId: string
  readonly type: string
}

/** Pino's number of the level. */
const warn = 40

/** @returns a logger that tells of each attempt as it is logged, and prints warnings only. */
export function watchAttempts(onAttempt: (attempt: LoggedAttempt) => void): Logger {
  return pino({
    level: 'info',
    hooks: {
      logMethod(args, log, level) {
        const [details, message] = args as unknown[]
        if (message === 'attempt') onAttempt(details as LoggedAttempt)
        else if (level >= warn) log.apply(this, args)
      },
    },
  })
}
