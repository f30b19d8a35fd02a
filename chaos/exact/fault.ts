import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../random.ts'

/** What can happen to one statement or command on its way. */
export const faultKinds = [
  'failed before',
  'executed, then failed',
  'delayed',
  'doubled',
  'connection lost before',
  'connection lost after',
] as const
export type FaultKind = (typeof faultKinds)[number]

/** A fault that is to happen to one call. */
export interface Fault {
  readonly kind: FaultKind
  /** What the server is said to have answered: an SQLSTATE, or the line of a Redis error. */
  readonly error: string
  /** Resolves when a delayed call may go on. */
  wait(): Promise<void>
  /** Told when everything of it has happened. */
  done(): void
}

/** Asked before each call that passes; what it returns happens to that call. */
export type OnCall<Call> = (call: Call) => Fault | undefined

/** Conflicts, and servers that are full, stopping, or no primary any more: they strike any statement, whatever it says. */
const sqlStates = ['40001', '40P01', '53300', '53100', '57P01', '25006', '08006']
const tookTooLong = '57014'
/** What may be answered to a call, by whose it is. */
const errors = {
  statement: [...sqlStates, tookTooLong],
  'statement of a handler': sqlStates,
  command: [
    'LOADING Redis is loading the dataset in memory',
    "READONLY You can't write against a read only replica.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
  ],
}
export type CallOf = keyof typeof errors
/** Beside short ones, delays beyond half a test's lease, and beyond the deadline of a send. */
const delaysMs = [120, 1_200, 3_400]

/** @returns a fault of this kind, whose details chance decides. */
export function drawFault(kind: FaultKind, call: CallOf, random: Random): Fault {
  const delayMs = random.pick(delaysMs)
  const error = random.pick(errors[call])
  return { kind, error, wait: () => delay(delayMs), done: () => {} }
}

/** @returns what a fault is, for people. */
export function describeFault({ kind, error }: Fault): string {
  return /fail/.test(kind) ? `${kind} (${error})` : kind
}
