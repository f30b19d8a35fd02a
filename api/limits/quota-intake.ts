import type { IntakeResult, NewJob } from '@jobyard/db/intake'
import type { Intake } from '@jobyard/queues/intake'
import type { Quotas } from './quotas.ts'
import type { Amount, TenantUse } from './tenant-use.ts'

/** An intake that lets no more wait of each tenant than its quota. Internal jobs do not count. */
export class QuotaIntake implements Pick<Intake, 'accept'> {
  readonly #intake: Pick<Intake, 'accept'>
  readonly #quotas: Quotas

  constructor(intake: Pick<Intake, 'accept'>, quotas: Quotas) {
    this.#intake = intake
    this.#quotas = quotas
  }

  /** As the intake's. @throws Problem `quota-exceeded` besides. */
  async accept(job: NewJob): Promise<IntakeResult> {
    if (job.internal) return this.#intake.accept(job)
    const amount = { jobs: 1, bytes: Buffer.byteLength(job.input) + Buffer.byteLength(job.metadata) }
    const use = this.#quotas.useOf(job.tenant)
    return this.#hand(job, amount, use instanceof Promise ? await use : use)
  }

  async #hand(job: NewJob, amount: Amount, use: TenantUse): Promise<IntakeResult> {
    this.#quotas.check(use, amount)
    use.handIn(amount)
    let isAccepted = false
    try {
      const result = await this.#intake.accept(job)
      isAccepted = result.kind === 'accepted'
      return result
    } finally {
      use.answer(amount, isAccepted)
    }
  }
}
