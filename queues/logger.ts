import { pino, type Logger } from 'pino'

/** Where secrets may stand: ioredis says in its errors what it has sent, passwords too. */
const hidden = [
  'req.headers.authorization',
  'headers.authorization',
  'err.command.args',
  'err.*.command.args',
  'error.command.args',
]

/** One JSON line per event on standard output; keys and tokens never reach it. */
export function createLogger(name: string, level: string): Logger {
  return pino({
    name,
    level,
    redact: { paths: hidden, censor: '[hidden]' },
  })
}
