import { createHash } from 'node:crypto'
import { newId } from '@jobyard/db/ids'
import type { NewJob } from '@jobyard/db/intake'
import type { JobRow } from '@jobyard/db/jobs'
import type { Contract } from '@jobyard/queues/define-job'
import type { Submission } from './schemas.ts'

/** @returns the row that a submission becomes. */
export function newJob(
  contract: Contract,
  tenant: string,
  submission: Submission,
  idempotency: NewJob['idempotency'],
): NewJob {
  const { runAt, delayMs, expiresAt } = submission
  return {
    id: newId(),
    tenant,
    type: contract.type,
    queue: contract.queue,
    input: JSON.stringify(submission.input ?? null),
    priority: submission.priority,
    runAt: runAt === undefined ? undefined : new Date(runAt),
    delayMs,
    expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt),
    maxAttempts: submission.maxAttempts ?? contract.retry.maxAttempts,
    timeoutMs: submission.timeoutMs ?? contract.timeoutMs,
    tags: submission.tags,
    metadata: JSON.stringify(submission.metadata),
    internal: contract.internal,
    deduplicationKey: submission.deduplicationKey,
    idempotency,
  }
}

/** @returns the row that a job is redriven as. */
export function redriven(row: JobRow): NewJob {
  return {
    id: newId(),
    tenant: row.tenant,
    type: row.type,
    queue: row.queue,
    input: JSON.stringify(row.input),
    priority: row.priority,
    maxAttempts: row.maxAttempts,
    timeoutMs: row.timeoutMs,
    tags: row.tags,
    metadata: JSON.stringify(row.metadata),
    internal: row.internal,
    redriveOf: row.id,
    deduplicationKey: row.deduplicationKey ?? undefined,
  }
}

/** @returns what a request with an idempotency key is recognised by: the same for the same request only. */
export function hashOf(request: Submission | { readonly redriveOf: string }): string {
  return createHash('sha256').update(JSON.stringify(request)).digest('base64url')
}
