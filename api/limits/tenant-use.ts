/** An amount of jobs, and of their input and metadata in bytes. */
export interface Amount {
  readonly jobs: number
  readonly bytes: number
}

export const nothing: Amount = { jobs: 0, bytes: 0 }

export function plus(one: Amount, other: Amount): Amount {
  return { jobs: one.jobs + other.jobs, bytes: one.bytes + other.bytes }
}

function minus(one: Amount, other: Amount): Amount {
  return { jobs: one.jobs - other.jobs, bytes: one.bytes - other.bytes }
}

/**
 * What of one tenant waits, as far as a process knows: what it counted in the record last, and what it has accepted since that count
 * began. Jobs whose answer was due while a count ran may be in both, until the next one: rather too much than too little. What no count
 * confirms is forgotten in time, so that it adds up to no more than jobs that have run meanwhile.
 */
export class TenantUse {
  #counted = nothing
  /** Accepted since the last count that came to an end began, but before the present one did. */
  #acceptedBefore = nothing
  #acceptedSince = nothing
  /** Accepted so long ago without a count that it may have run. */
  #forgotten = nothing
  #underWay = nothing

  get total(): Amount {
    return minus([this.#counted, this.#accepted].reduce(plus, this.#underWay), this.#forgotten)
  }

  get #accepted(): Amount {
    return plus(this.#acceptedBefore, this.#acceptedSince)
  }

  get isUnderWay(): boolean {
    return this.#underWay.jobs > 0
  }

  handIn(amount: Amount): void {
    this.#underWay = plus(this.#underWay, amount)
  }

  /** @param isAccepted a new job was made. */
  answer(amount: Amount, isAccepted: boolean): void {
    this.#underWay = minus(this.#underWay, amount)
    if (isAccepted) this.#acceptedSince = plus(this.#acceptedSince, amount)
  }

  beginCount(): void {
    this.#acceptedBefore = plus(this.#acceptedBefore, this.#acceptedSince)
    this.#acceptedSince = nothing
  }

  endCount(counted: Amount): void {
    this.#counted = counted
    this.#acceptedBefore = nothing
    this.#forgotten = nothing
  }

  /** What was counted before is believed no more. */
  failCount(): void {
    this.#counted = nothing
  }

  /** What was accepted until now does not count any more, until a count has told what became of it. */
  forgetAccepted(): void {
    this.#forgotten = this.#accepted
  }
}
