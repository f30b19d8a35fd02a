import type { BatchContext, BatchedJob, HandlerContext, JobContext } from '@jobyard/workers/define-handler'
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
    ...jobContext(1),
    progress: (fraction, note) => void reports.push({ fraction, note }),
    transaction: noDatabase,
    ...overrides,
    reports,
  }
}

/** Makes the jobs that a handler of batches is given, one for each input. */
export function batchOf<Input>(inputs: readonly Input[]): BatchedJob<Input>[] {
  return inputs.map((input, index) => ({ ...jobContext(index + 1), input }))
}

/** Makes what a handler of batches is given besides, like {@link handlerContext}. */
export function batchContext(overrides: Partial<BatchContext> = {}): BatchContext {
  return { signal: new AbortController().signal, log: pino({ level: 'silent' }), transaction: noDatabase, ...overrides }
}

function jobContext(number: number): JobContext {
  return {
    signal: new AbortController().signal,
    jobId: `01900000-0000-7000-8000-${String(number).padStart(12, '0')}`,
    tenant: 'default',
    attempt: 1,
    log: pino({ level: 'silent' }),
    progress: () => {},
  }
}

async function noDatabase(): Promise<never> {
  throw new Error('This context has no database')
}
