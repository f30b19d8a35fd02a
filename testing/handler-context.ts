import type { HandlerContext } from '@jobyard/workers/define-handler'
import { pino } from 'pino'

/** A context that remembers what the handler reported. */
export interface RecordedContext extends HandlerContext {
  readonly reports: { fraction: number; note: string | undefined }[]
}

/**
 * Makes the context that a handler is given, for tests without a worker: the first attempt, a signal that never fires,
 * no log, and no database, so that `transaction` throws.
 */
export function handlerContext(overrides: Partial<HandlerContext> = {}): RecordedContext {
  const reports: RecordedContext['reports'] = []
  return {
    signal: new AbortController().signal,
    jobId: '01900000-0000-7000-8000-000000000001',
    tenant: 'default',
    attempt: 1,
    log: pino({ level: 'silent' }),
    progress: (fraction, note) => void reports.push({ fraction, note }),
    transaction: () => Promise.reject(new Error('This context has no database')),
    ...overrides,
    reports,
  }
}
