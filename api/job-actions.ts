import { createHash } from 'node:crypto'
import { cancelJob } from '@jobyard/db/cancel'
import { notify, unplacedChannel } from '@jobyard/db/sequence'
import type { Database } from '@jobyard/db/connect'
import { isId, newId } from '@jobyard/db/ids'
import type { NewJob, RefusedKey } from '@jobyard/db/intake'
import { getAttempts, getJob, type JobRow } from '@jobyard/db/jobs'
import { promoteJob } from '@jobyard/db/promote'
import { setPaused } from '@jobyard/db/queue-rows'
import type { JobStatus } from '@jobyard/db/statuses'
import type { Carrier } from '@jobyard/queues/carrier'
import type { Catalogue } from '@jobyard/queues/catalogue'
import { withDeadline } from '@jobyard/queues/deadline'
import type { Contract } from '@jobyard/queues/define-job'
import type { Intake } from '@jobyard/queues/intake'
import type { TicketSender } from '@jobyard/queues/tickets'
import { viewAccepted, viewJob, type JobView } from './job-view.ts'
import { fieldErrors, invalid } from './plugins/errors.ts'
import { noSuchJob, noSuchQueue, Problem, unavailable } from './problem.ts'
import type { Submission } from './schemas.ts'

export interface JobActionsOptions {
  readonly db: Database
  readonly carrier: Carrier
  readonly intake: Pick<Intake, 'accept'>
  readonly tickets: TicketSender
  readonly catalogue: Catalogue
}

/** An accepted job, or the first answer to its idempotency key. */
export interface Accepted {
  readonly job: JobView
  readonly replayed: boolean
}

/** Time a mirrored pause may take before it is left to the reconciler, in milliseconds. */
const mirrorDeadlineMs = 1_000

/** What people do with jobs and queues, whether through the API or the board. */
export class JobActions {
  readonly #options: JobActionsOptions

  constructor(options: JobActionsOptions) {
    this.#options = options
  }

  /**
   * Accepts a job; once this returns it is durable.
   *
   * @throws Problem `unknown-job-type`, `validation-failed`, `idempotency-key-reused` or `unavailable`.
   */
  async submit(tenant: string, submission: Submission, idempotencyKey?: string): Promise<Accepted> {
    const job = this.prepare(tenant, submission, idempotencyKey)
    const result = await this.#options.intake.accept(job)
    if (!('id' in result)) throw refusedKey(result)
    const { input, metadata } = submission
    return { job: viewAccepted(job, input, metadata, result), replayed: result.kind === 'replayed' }
  }

  /**
   * Checks a submission against the contract of its type.
   *
   * @returns the job, ready for the intake.
   * @throws Problem `unknown-job-type` or `validation-failed`.
   */
  prepare(tenant: string, submission: Submission, idempotencyKey?: string): NewJob {
    const contract = this.#contractOf(submission.type)
    checkInput(contract, submission.input)
    const idempotency =
      idempotencyKey === undefined ? undefined : { key: idempotencyKey, requestHash: hashOf(submission) }
    return newJob(contract, tenant, submission, idempotency)
  }

  /**
   * Makes a new job of a failed or cancelled one.
   *
   * @throws Problem `not-found`, or `conflict` when the job did not fail.
   */
  async redrive(tenant: string, id: string): Promise<JobView> {
    const row = await this.#row(tenant, id)
    if (row.status !== 'failed' && row.status !== 'cancelled') {
      throw new Problem('conflict', `Only failed and cancelled jobs can be redriven; this one is ${row.status}.`)
    }
    const job = redriven(row)
    const accepted = await this.#options.intake.accept(job)
    if (accepted.kind !== 'accepted') throw new Error(`The redrive of ${id} was not accepted`)
    return viewAccepted(job, row.input, row.metadata, accepted)
  }

  /**
   * Cancels a job, at once or, when it is running, by asking its worker.
   *
   * @returns the job's status now.
   * @throws Problem `not-found`, or `conflict` when the job has ended.
   */
  async cancel(tenant: string, id: string): Promise<JobStatus> {
    const { sql } = this.#options.db
    const result = isId(id) ? await cancelJob(sql, tenant, id) : undefined
    if (!result) throw noSuchJob(id)
    const { status, changed } = result
    if (!changed && status !== 'cancelled') {
      throw new Problem('conflict', `The job has ended already: it is ${status}.`)
    }
    if (changed && status === 'cancelled') void notify(sql, unplacedChannel).catch(() => {}) // its event is found all the same
    return status
  }

  /**
   * Runs a scheduled or retrying job now.
   *
   * @throws Problem `not-found`, or `conflict` when the job does not wait for a time.
   */
  async promote(tenant: string, id: string): Promise<void> {
    const promoted = isId(id) ? await promoteJob(this.#options.db.sql, tenant, id) : undefined
    if (promoted) await this.#options.tickets.send([promoted])
    else
      throw new Problem(
        'conflict',
        `Only scheduled and retrying jobs can be promoted; this one is ${(await this.#row(tenant, id)).status}.`,
      )
  }

  /**
   * Reads a job with its attempts.
   *
   * @throws Problem `not-found`.
   */
  async get(tenant: string, id: string): Promise<JobView> {
    if (!isId(id)) throw noSuchJob(id)
    const { sql } = this.#options.db
    const [row, attempts] = await Promise.all([getJob(sql, tenant, id), getAttempts(sql, tenant, id)])
    if (!row) throw noSuchJob(id)
    return viewJob(row, attempts)
  }

  /**
   * Pauses or resumes a queue. The record is the truth; the carrier follows now or with the next reconciliation.
   *
   * @throws Problem `not-found` when there is no such queue.
   */
  async setPaused(queue: string, paused: boolean): Promise<void> {
    const { db, carrier } = this.#options
    if (!(await setPaused(db.sql, queue, paused))) throw noSuchQueue(queue)
    await withDeadline(carrier.setPaused(queue, paused), mirrorDeadlineMs, 'Mirroring a pause').catch(() => {})
  }

  async #row(tenant: string, id: string): Promise<JobRow> {
    const row = isId(id) ? await getJob(this.#options.db.sql, tenant, id) : undefined
    if (!row) throw noSuchJob(id)
    return row
  }

  #contractOf(type: string): Contract {
    const { catalogue } = this.#options
    const contract = catalogue.get(type)
    if (contract && !contract.internal) return contract
    throw new Problem(
      'unknown-job-type',
      `There is no job type "${type.slice(0, 80)}". Known types: ${catalogue.types.join(', ')}.`,
      {
        errors: [{ path: 'type', message: 'is not a known job type' }],
      },
    )
  }
}

/** @returns what a request that was kept out by its idempotency key fails with. */
export function refusedKey(result: RefusedKey): Error {
  switch (result.kind) {
    case 'key-reused':
      return new Problem(
        'idempotency-key-reused',
        'This Idempotency-Key came with another request before. Use a new key for a new request.',
      )
    case 'key-expired':
      return unavailable('This Idempotency-Key has just expired. Send the request again to have it accepted.')
    case 'key-unread':
      return result.error
  }
}

function checkInput(contract: Contract, input: unknown): void {
  const parsed = contract.input.safeParse(input)
  if (parsed.success) return
  throw invalid(fieldErrors(parsed.error, 'input'), `input of ${contract.type}`)
}

function newJob(
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
    idempotency,
  }
}

function redriven(row: JobRow): NewJob {
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
  }
}

function hashOf(submission: Submission): string {
  return createHash('sha256').update(JSON.stringify(submission)).digest('base64url')
}
