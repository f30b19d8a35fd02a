import { item, members, type JobSet, type Process, type State } from './state.ts'
import type { FaultKind, World } from './world.ts'

/**
 * What kind of step it is: `carrier` moves tickets, and must not go in circles; a `choice` need never be made, by the client or
 * by bad luck, so nothing may wait for it.
 */
export type StepKind = 'carrier' | 'progress' | 'choice'

/** Takes a step that is possible now: `change` is applied to a copy of the state, in which everything has its place of now. */
export type Offer = (kind: StepKind, label: string, change: (next: State) => void) => void

/** Offers every step of one sort that is possible now. */
export type Transition = (now: State, world: World, offer: Offer) => void

/** @returns how to offer a fault: it is possible if there are faults left and the scenario has this kind. */
export function faultsOf(now: State, { scenario }: World, offer: Offer) {
  return (kind: FaultKind, label: string, change: (next: State) => void): void => {
    if (now.faults === 0 || (scenario.kinds && !scenario.kinds.includes(kind))) return
    offer('choice', `FAULT: ${label}`, (next) => {
      next.faults -= 1
      change(next)
    })
  }
}

/** Calls `visit` for each process that is up, with its place and name. */
export function eachProcess(now: State, visit: (process: Process, at: number, name: string) => void): void {
  now.processes.forEach((process, at) => {
    if (process.up) visit(process, at, nameOf(at))
  })
}

/** @returns how a process is called in traces. */
export function nameOf(at: number): string {
  return `worker ${'ABCD'.charAt(at)}`
}

/** @returns how a set of jobs is called in traces. */
export function listOf(jobs: JobSet): string {
  return `{${members(jobs).join(', ')}}`
}

/** @returns the process of that place. */
export function processAt({ processes }: State, at: number): Process {
  return item(processes, at)
}

/** @returns the list without the item of that place. */
export function dropAt<T>(list: readonly T[], index: number): T[] {
  return list.toSpliced(index, 1)
}
