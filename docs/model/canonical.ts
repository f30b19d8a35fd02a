import {
  item,
  members,
  only,
  outcomes,
  ownedBy,
  stages,
  statuses,
  type Claimed,
  type Hand,
  type Job,
  type Late,
  type Process,
  type Run,
  type Send,
  type State,
} from './state.ts'

/*
 * A state as a short string, one character for each job, run, ticket and so on, in which states that differ in names only are the
 * same: processes stand in an order of their own, ids are places in that order, an epoch is that of the row or an older one,
 * and what has no order is sorted.
 */

/** @returns the name of a state, the same for all states that differ in names only. */
export function encode(state: State): string {
  const claims = state.late.filter((late) => late.kind === 'claim')
  const settlements = state.late.filter((late) => late.kind === 'settle')
  const processes = state.processes
    .map((process) => ({ id: process.id || nobody, codes: encodeProcess(process, state, claims) }))
    .sort((one, other) => compare(one.codes, other.codes))
  const others = state.workers
    .filter((id) => !processes.some((process) => process.id === id) && isReferredTo(id, state, claims))
    .map((id) => ({ id, codes: [ownedBy(state, id), ...lateClaims(id, claims)] }))
    .sort((one, other) => compare(one.codes, other.codes))
  const owners = [...processes, ...others]
  const codes = [state.faults | (state.cancels << 4) | (state.shutdowns << 8), state.jobs.length]
  for (const job of state.jobs) codes.push(encodeJob(job, owners.findIndex(({ id }) => id === job.worker) + 1))
  codes.push(processes.length, others.length)
  for (const owner of owners) codes.push(...owner.codes)
  codes.push(state.queue.length, ...state.queue)
  codes.push(...sorted([...state.stalled]))
  codes.push(...sorted(state.sends.map(({ jobs, atHead }) => jobs | flag(atHead, 4))))
  codes.push(...sorted(settlements.map((late) => encodeSettlement(late, state))))
  return String.fromCharCode(...codes)
}

/** @returns a state of that name. */
export function decode(name: string): State {
  const read = new Reader(name)
  const budgets = read.next()
  const jobs = read.list(decodeJob)
  const count = read.next()
  const othersCount = read.next()
  const state: State = {
    faults: budgets & 15,
    cancels: (budgets >> 4) & 15,
    shutdowns: budgets >> 8,
    jobs,
    workers: [],
    processes: [],
    nextId: count + othersCount + 1,
    queue: [],
    stalled: [],
    sends: [],
    late: [],
    breaches: [],
  }
  for (let id = 1; id <= count; id++) decodeProcess(state, id, read)
  for (let id = count + 1; id < state.nextId; id++) {
    read.next() // what it owns, which the jobs tell, too
    state.workers.push(id)
    readClaims(state, id, read)
  }
  state.queue = read.list(asIs)
  state.stalled = read.list(asIs)
  state.sends = read.list(decodeSend)
  for (const late of read.list(decodeSettlement)) state.late.push(late)
  return state
}

type LateClaim = Extract<Late, { kind: 'claim' }>
type LateSettlement = Extract<Late, { kind: 'settle' }>

/** Id of a process that is down: no row names it. */
const nobody = -1
/** An id that was given up: any that nobody has. */
const givenUp = -2

function isReferredTo(id: number, state: State, claims: readonly LateClaim[]): boolean {
  return ownedBy(state, id) !== 0 || claims.some(({ worker }) => worker === id)
}

function encodeJob({ status, crashes, attempts, cancelAsked, old, felled }: Job, owner: number): number {
  const flags = flag(cancelAsked, 0) | flag(old, 1) | flag(felled, 2)
  return statuses.indexOf(status) | (owner << 3) | (crashes << 7) | (attempts << 9) | (flags << 12)
}

function decodeJob(code: number): Job {
  return {
    status: item(statuses, code & 7),
    epoch: 1,
    worker: (code >> 3) & 15,
    crashes: (code >> 7) & 3,
    attempts: (code >> 9) & 7,
    cancelAsked: bit(code, 12),
    old: bit(code, 13),
    felled: bit(code, 14),
  }
}

/** What it owns is told by the jobs, too; here it gives processes their order. */
function encodeProcess(process: Process, state: State, claims: readonly LateClaim[]): number[] {
  const { up, id, hands, runs, leaving } = process
  if (!up) return [0]
  const flags = 1 | flag(state.workers.includes(id), 1) | flag(leaving !== undefined, 2)
  const codes = [flags | ((leaving ?? 0) << 4) | (ownedBy(state, id) << 8), hands.length]
  const handCodes = hands.map((hand) => encodeHand(hand, id, state)).sort(ascending)
  for (const code of handCodes) codes.push(code >> 12, code & 4095)
  codes.push(...sorted(runs.map((run) => encodeRun(run, state))))
  codes.push(...lateClaims(id, claims))
  return codes
}

function decodeProcess(state: State, id: number, read: Reader): void {
  const flags = read.next()
  if (flags === 0) {
    state.processes.push({ up: false, id: 0, hands: [], runs: [] })
    return
  }
  const leaving = bit(flags, 2) ? (flags >> 4) & 15 : undefined
  const hands = read.list((high) => decodeHand((high << 12) | read.next(), id))
  const runs = read.list(decodeRun)
  state.processes.push({ up: true, id, hands, runs, leaving })
  if (bit(flags, 1)) state.workers.push(id)
  readClaims(state, id, read)
}

function encodeHand({ lane, ticket, take, answer, under }: Hand, id: number, state: State): number {
  let taken = 0
  let current = 0
  for (const claimed of answer ?? []) {
    taken |= only(claimed.job)
    if (isCurrent(claimed, state)) current |= only(claimed.job)
  }
  const flags =
    flag(lane === 'suspect', 0) | flag(answer !== undefined, 1) | flag(answer !== undefined && under !== id, 2)
  return flags | (ticket << 3) | (take << 7) | (taken << 11) | (current << 15)
}

function decodeHand(code: number, id: number): Hand {
  const current = code >> 15
  const answer = members((code >> 11) & 15).map((job) => ({ job, epoch: (current >> job) & 1 }))
  return {
    lane: bit(code, 0) ? 'suspect' : 'ordinary',
    ticket: (code >> 3) & 15,
    take: (code >> 7) & 15,
    answer: bit(code, 1) ? answer : undefined,
    under: bit(code, 2) ? givenUp : id,
  }
}

function encodeRun(run: Run, state: State): number {
  const flags = flag(run.lane === 'suspect', 0) | flag(run.known, 1) | flag(isCurrent(run, state), 2)
  return flags | (run.job << 3) | (stages.indexOf(run.stage) << 5)
}

function decodeRun(code: number): Run {
  return {
    job: (code >> 3) & 3,
    epoch: (code >> 2) & 1,
    lane: bit(code, 0) ? 'suspect' : 'ordinary',
    known: bit(code, 1),
    stage: item(stages, code >> 5),
  }
}

function lateClaims(id: number, claims: readonly LateClaim[]): number[] {
  if (claims.length === 0) return [0]
  const mine = claims.filter(({ worker }) => worker === id)
  return sorted(mine.map(({ jobs, lane }) => jobs | flag(lane === 'suspect', 4)))
}

function readClaims(state: State, worker: number, read: Reader): void {
  for (const code of read.list(asIs))
    state.late.push({ kind: 'claim', worker, jobs: code & 15, lane: bit(code, 4) ? 'suspect' : 'ordinary' })
}

function encodeSettlement({ run, outcome }: LateSettlement, state: State): number {
  return flag(isCurrent(run, state), 0) | (run.job << 1) | (outcomes.indexOf(outcome) << 3)
}

function decodeSettlement(code: number): LateSettlement {
  return { kind: 'settle', run: { job: (code >> 1) & 3, epoch: code & 1 }, outcome: item(outcomes, code >> 3) }
}

function decodeSend(code: number): Send {
  return { jobs: code & 15, atHead: bit(code, 4) }
}

function isCurrent({ job, epoch }: Claimed, { jobs }: State): boolean {
  return item(jobs, job).epoch === epoch
}

function flag(set: boolean, place: number): number {
  return set ? 1 << place : 0
}

function bit(code: number, place: number): boolean {
  return ((code >> place) & 1) === 1
}

function asIs(code: number): number {
  return code
}

function ascending(one: number, other: number): number {
  return one - other
}

/** A list in an order of its own, after its length. */
function sorted(codes: number[]): number[] {
  codes.sort(ascending)
  codes.unshift(codes.length)
  return codes
}

function compare(one: readonly number[], other: readonly number[]): number {
  for (let index = 0; index < one.length; index++) {
    const difference = item(one, index) - (other[index] ?? 0)
    if (difference !== 0) return difference
  }
  return one.length - other.length
}

class Reader {
  readonly #key: string
  #at = 0

  constructor(key: string) {
    this.#key = key
  }

  next(): number {
    return this.#key.charCodeAt(this.#at++)
  }

  list<T>(decodeItem: (code: number, index: number) => T): T[] {
    const length = this.next()
    const items: T[] = []
    for (let index = 0; index < length; index++) items.push(decodeItem(this.next(), index))
    return items
  }
}
