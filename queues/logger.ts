import { pino, type Logger } from 'pino'

/** One JSON line per event on standard output; keys and tokens never reach it. */
export function createLogger(name: string, level: string): Logger {
  return pino({
    name,
    level,
    redact: { paths: ['req.headers.authorization', 'headers.authorization'], censor: '[hidden]' },
  })
}
