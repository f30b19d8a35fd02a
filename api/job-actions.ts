import { cancelJob } from '@jobyard/db/cancel'
import { notify, unplacedChannel } from '@jobyard/db/sequence'
import type { Database } from '@jobyard/db/connect'
import { isId, newId } from '@jobyard/db/ids'
import { readReplays, type Acceptance, type NewJob, type RefusedKey } from '@jobyard/db/intake'
import { getAttempts, getJob, type JobRow } from '@jobyard/db/jobs'
import { promoteJob } from '@jobyard/db/promote'
import { redriveOne } from '@jobyard/db/redrive'
import { setPaused } from '@jobyard/db/queue-rows'
import type { JobStatus } from '@jobyard/db/statuses'
import type { Carrier } from '@jobyard/queues/carrier'
import type { Catalogue } from '@jobyard/queues/catalogue'
import { withDeadline } from '@jobyard/queues/deadline'
import type { Contract } from '@jobyard/queues/define-job'
import type { Intake } from '@jobyard/queues/intake'
import type { TicketSender } from '@jobyard/queues/tickets'
import { viewAccepted, viewJob, type JobView } from './job-view.ts'
import { hashOf, newJob, redriven } from './new-job.ts'
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

/** An accepted job, or the first answer to its idempotency key, or the unfinished job that has its deduplication key. */
export interface Accepted {
  readonly job: JobView
  readonly replayed: boolean
  readonly deduplicated: boolean
}

/** Time a mirrored pause may take before it is left to the reconciler, in milliseconds. */
const mirrorDeadlineMs = 1_000
/** Time that reading a job may take that was found by its deduplication key, in milliseconds. */
const readWithinMs = 3_000
/** Time that a redrive may take, in milliseconds: below the deadline of requests. */
const redriveWithinMs = 10_000

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
    const deduplicated = result.kind === 'deduplicated' || result.kind === 'deduplicated-before'
    const existing = deduplicated ? await this.#existing(tenant, result.id) : undefined
    const replayed = result.kind === 'replayed' || result.kind === 'deduplicated-before'
    return { job: existing ?? viewAccepted(job, input, metadata, result), replayed, deduplicated }
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
   * Makes a new job of a failed or cancelled one: once for each idempotency key, and each time without one. A replay is answered as long
   * as one of the two jobs is there.
   *
   * @throws Problem `not-found`, `idempotency-key-reused`, or `conflict` when the job did not fail, or another one has its deduplication key.
   */
  async redrive(tenant: string, id: string, idempotencyKey?: string): Promise<Accepted> {
    const { db, tickets } = this.#options
    const idempotency =
      idempotencyKey === undefined ? undefined : { key: idempotencyKey, requestHash: hashOf({ redriveOf: id }) }
    if (idempotency && isId(id)) {
      const request = { id: newId(), tenant, idempotency }
      const first = (await readReplays(db.sql, [request]))(request)
      if (first.kind !== 'key-expired') return this.#redrivenBefore(tenant, id, first)
    }
    const row = await this.#row(tenant, id)
    if (row.status !== 'failed' && row.status !== 'cancelled') {
      throw new Problem('conflict', `Only failed and cancelled jobs can be redriven; this one is ${row.status}.`)
    }
    if (row.internal)
      throw new Problem('conflict', `This job is a delivery: make it again with POST /v1/deliveries/${id}/redeliver.`)
    const job = redriven(row)
    const wanted = { of: id, id: job.id }
    const result = await redriveOne(db, tenant, wanted, idempotency, AbortSignal.timeout(redriveWithinMs))
    if (result.kind === 'left') throw noSuchJob(id)
    if (result.kind === 'held')
      throw new Problem(
        'conflict',
        `Job ${result.unfinished} has the same deduplication key and has not ended. Redrive this one when it has.`,
      )
    if (result.kind === 'made') {
      void tickets.send([result.job])
      return { job: viewAccepted(job, row.input, row.metadata, result.job), replayed: false, deduplicated: false }
    }
    return this.#redrivenBefore(tenant, id, result)
  }

  /** @returns what the first redrive with an idempotency key was answered, of either job: they are alike. */
  async #redrivenBefore(tenant: string, id: string, first: Acceptance | RefusedKey): Promise<Accepted> {
    if (!('id' in first)) throw refusedKey(first)
    const { sql } = this.#options.db
    const row = (await getJob(sql, tenant, first.id)) ?? (await getJob(sql, tenant, id))
    if (!row)
      throw new Problem(
        'not-found',
        `Job ${id} was redriven as ${first.id} by this Idempotency-Key. Both have been deleted since.`,
      )
    const job = viewAccepted({ ...redriven(row), redriveOf: id }, row.input, row.metadata, first)
    return { job, replayed: true, deduplicated: false }
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

  /** @returns the job as it stands; undefined when it was deleted. */
  async #existing(tenant: string, id: string): Promise<JobView | undefined> {
    try {
      return await withDeadline(this.get(tenant, id), readWithinMs, 'Reading a job')
    } catch (error) {
      if (error instanceof Problem && error.kind === 'not-found') return undefined
      throw error
    }
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
