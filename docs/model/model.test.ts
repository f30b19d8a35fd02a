import fc from 'fast-check'
import { expect, it } from 'vitest'
import { decode, encode } from './canonical.ts'
import { Arrows } from './graph.ts'
import { removals, scenarioOf } from './removals.ts'
import { asBuilt, ruleTexts, without } from './rules.ts'
import { search } from './search.ts'
import type { State } from './state.ts'
import { transitions } from './transitions/all.ts'
import { initialState, worldOf } from './world.ts'

it('a job in a world without faults ends, in every order of events', () => {
  const found = search(worldOf({ name: 'one job, one process', processes: 1 }))
  expect(found.violation).toBeUndefined()
  expect(found.states).toBeGreaterThan(5)
})

it('without the ownership check a lost answer to a claim leaves its job stuck, and the trace tells how', () => {
  const world = worldOf(
    { name: 'one fault', processes: 1, faults: 1, kinds: ['lost answer'] },
    without('ownershipCheck'),
  )
  const { violation } = search(world)
  expect(violation?.finding).toBe('stuck')
  expect(violation?.trace).toContain('FAULT: worker A gets no answer to its claim, which was executed')
})

it('without the gate before a fetch two processes with full slots throw a ticket to and fro', () => {
  const world = worldOf({ name: 'two jobs', jobs: 2, processes: 1, probe: false }, without('slotBeforeFetch'))
  const { violation } = search(world)
  expect(violation?.finding).toBe('ping-pong')
})

it('a state keeps its name when it is read from it, and when its processes change places and ids', () => {
  const world = worldOf({ name: 'all sorts', jobs: 2, retries: 1, faults: 2, cancels: 1, shutdowns: 1 })
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 1, maxLength: 40 }), (choices) => {
      const state = walk(initialState(world), choices)
      const name = encode(state)
      expect(encode(decode(name))).toBe(name)
      expect(encode(renamed(state))).toBe(name)
    }),
    { numRuns: 300 },
  )

  function walk(start: State, choices: readonly number[]): State {
    let now = start
    for (const choice of choices) {
      const steps: ((next: State) => void)[] = []
      for (const transition of transitions) transition(now, world, (_kind, _label, change) => void steps.push(change))
      if (steps.length === 0) return now
      now = structuredClone(now)
      steps[choice % steps.length]?.(now)
    }
    return now
  }
})

it.each(removals.filter(({ probeRepairs }) => probeRepairs))('the probe repairs that $rule is missing', (removal) => {
  const world = worldOf({ ...scenarioOf(removal), probe: true }, without(removal.rule))
  expect(search(world).violation).toBeUndefined()
})

it('every rule is taken away once', () => {
  expect(removals.map(({ rule }) => rule as string).toSorted()).toEqual(Object.keys(ruleTexts).toSorted())
  expect(removals.every(({ rule }) => asBuilt[rule])).toBe(true)
})

it('finds the circle, and the node that is cut off, in a graph', () => {
  const arrows = new Arrows()
  for (const targets of [[1, 2], [], [3], [2]]) {
    arrows.beginNode()
    for (const to of targets) arrows.add(to)
  }
  expect(arrows.circle()).toEqual([2, 3, 2])
  expect(arrows.firstThatCannotReach((node) => node === 1)).toBe(2)
})

/** The same state under other names: ids are shifted, epochs are, and the processes are turned round. */
function renamed(state: State): State {
  const copy = structuredClone(state)
  const shift = (id: number) => (id === 0 ? 0 : id + 7)
  for (const job of copy.jobs) job.worker = shift(job.worker)
  for (const process of copy.processes) {
    process.id = shift(process.id)
    for (const hand of process.hands) hand.under = shift(hand.under)
    process.hands.reverse()
    process.runs.reverse()
  }
  copy.processes.reverse()
  copy.workers = copy.workers.map(shift).toReversed()
  copy.late = copy.late
    .map((late) => (late.kind === 'claim' ? { ...late, worker: shift(late.worker) } : late))
    .toReversed()
  copy.sends.reverse()
  copy.stalled.reverse()
  return copy
}
