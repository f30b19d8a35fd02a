import type { IntakeResult, NewJob } from '@jobyard/db/intake'
import type { Intake } from '@jobyard/queues/intake'
import type { Quotas } from './quotas.ts'
import type { TenantUse } from './tenant-use.ts'

/** An intake that lets no more wait of each tenant than its quota. Internal jobs do not count. */
export class QuotaIntake implements Pick<Intake, 'accept'> {
  readonly #intake: Pick<Intake, 'accept'>
  readonly #quotas: Quotas

  constructor(intake: Pick<Intake, 'accept'>, quotas: Quotas) {
    this.#intake = intake
    this.#quotas = quotas
  }

  /** As the intake's. @throws Problem `quota-exceeded` besides. */
  accept(job: NewJob): Promise<IntakeResult> {
    if (job.internal) return this.#intake.accept(job)
    const use = this.#quotas.useOf(job.tenant)
    return use instanceof Promise ? use.then((known) => this.#hand(job, known)) : this.#hand(job, use)
  }

  #hand(job: NewJob, use: TenantUse): Promise<IntakeResult> {
    const amount = { jobs: 1, bytes: Buffer.byteLength(job.input) + Buffer.byteLength(job.metadata) }
    try {
      this.#quotas.check(use, amount)
    } catch (error) {
      return Promise.reject(error)
    }
    use.handIn(amount)
    const result = this.#intake.accept(job)
    result.then(
      ({ kind }) => use.answer(amount, kind === 'accepted'),
      () => use.answer(amount, false),
    )
    return result
  }
}
