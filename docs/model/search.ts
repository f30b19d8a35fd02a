import { decode, encode } from './canonical.ts'
import { Arrows, Numbers } from './graph.ts'
import type { Invariant } from './invariants.ts'
import { brokenIn, mostTickets } from './judgement.ts'
import { isTerminal, item, type State } from './state.ts'
import { forgetPowerless } from './statements.ts'
import type { StepKind } from './step.ts'
import { transitions } from './transitions/all.ts'
import { initialState, type World } from './world.ts'

/** `stuck`: not all jobs can end any more, whatever happens. `ping-pong`: tickets can move for ever while nothing else happens. */
export type Finding = Invariant | 'stuck' | 'ping-pong'

/** What a search has found. */
export interface Found {
  readonly states: number
  readonly steps: number
  /** Steps to the state that is farthest away. */
  readonly depth: number
  readonly seconds: number
  /** Most tickets of one job at once. */
  readonly tickets: number
  /** What is wrong first, if anything, and the shortest way there. */
  readonly violation?: { readonly finding: Finding; readonly trace: readonly string[] }
}

/** States after which a search gives up: a world is to be small. */
const mostStates = 8_000_000

/**
 * Visits every state of a world, nearest first.
 *
 * @param onProgress told of the number of states now and then.
 * @throws RangeError when there are too many.
 */
export function search(world: World, onProgress: (states: number) => void = () => {}): Found {
  const started = performance.now()
  const graph = new Exploration(world)
  const violation = graph.explore(onProgress) ?? graph.judge()
  return {
    ...graph.size,
    seconds: (performance.now() - started) / 1_000,
    ...(violation && { violation }),
  }
}

class Exploration {
  readonly #world: World
  readonly #keys: string[] = []
  readonly #nodes = new Map<string, number>()
  readonly #cameFrom = new Numbers()
  readonly #depths = new Numbers()
  /** Steps that nobody has to choose. */
  readonly #forced = new Arrows()
  readonly #carrier = new Arrows()
  readonly #ended = new Set<number>()
  #steps = 0
  #tickets = 0

  constructor(world: World) {
    this.#world = world
    this.#add(encode(initialState(world)), -1)
  }

  get size(): Pick<Found, 'states' | 'steps' | 'depth' | 'tickets'> {
    const states = this.#keys.length
    return { states, steps: this.#steps, depth: this.#depths.at(states - 1), tickets: this.#tickets }
  }

  /** Visits all states. @returns the first invariant that does not hold. */
  explore(onProgress: (states: number) => void): Found['violation'] {
    for (let node = 0; node < this.#keys.length; node++) {
      if (node % 8_192 === 0) onProgress(node)
      const broken = this.#visit(node)
      if (broken) return broken
      if (this.#keys.length > mostStates) throw new RangeError(`More than ${mostStates} states`)
    }
    return undefined
  }

  /** @returns what is wrong with the whole, when all states were visited. */
  judge(): Found['violation'] {
    const stuck = this.#forced.firstThatCannotReach((node) => this.#ended.has(node))
    if (stuck >= 0) return { finding: 'stuck', trace: this.#trace(this.#wayTo(stuck)) }
    const [first, ...round] = this.#carrier.circle()
    return first === undefined
      ? undefined
      : { finding: 'ping-pong', trace: this.#trace([...this.#wayTo(first), ...round]) }
  }

  #visit(node: number): Found['violation'] {
    const key = this.#keyOf(node)
    const now = decode(key)
    if (now.jobs.every(isTerminal)) this.#ended.add(node)
    this.#tickets = Math.max(this.#tickets, mostTickets(now))
    const [broken] = brokenIn(now, this.#world)
    if (broken) return { finding: broken, trace: this.#trace(this.#wayTo(node)) }
    this.#forced.beginNode()
    this.#carrier.beginNode()
    let breach: Invariant | undefined
    eachStep(
      now,
      this.#world,
      () => decode(key),
      (kind, _, next) => {
        this.#steps++
        breach ??= next.breaches[0]
        const to = this.#add(encode(next), node)
        if (kind !== 'choice') this.#forced.add(to)
        if (kind === 'carrier') this.#carrier.add(to)
      },
    )
    return breach === undefined ? undefined : { finding: breach, trace: this.#trace(this.#wayTo(node), breach) }
  }

  #add(key: string, from: number): number {
    const known = this.#nodes.get(key)
    if (known !== undefined) return known
    const node = this.#keys.length
    this.#nodes.set(key, node)
    this.#keys.push(key)
    this.#cameFrom.push(from)
    this.#depths.push(from < 0 ? 0 : this.#depths.at(from) + 1)
    return node
  }

  /** @returns the nodes on the shortest way to one, without the first. */
  #wayTo(node: number): number[] {
    const way: number[] = []
    for (let at = node; at > 0; at = this.#cameFrom.at(at)) way.unshift(at)
    return way
  }

  /** Walks a way once more, with names that stay the same all along. @returns what its steps are called. */
  #trace(way: readonly number[], breach?: Invariant): string[] {
    let now = initialState(this.#world)
    const trace: string[] = []
    const take = (isWanted: (next: State) => boolean) => {
      const [label, next] = this.#stepTo(now, isWanted)
      trace.push(label)
      now = next
    }
    for (const node of way) take((next) => encode(next) === this.#keyOf(node))
    if (breach !== undefined) take((next) => next.breaches.includes(breach))
    return trace
  }

  #stepTo(now: State, isWanted: (next: State) => boolean): [string, State] {
    const found: [string, State][] = []
    const copy = () => structuredClone(now)
    eachStep(now, this.#world, copy, (_, label, next) => {
      if (isWanted(next)) found.push([label, next])
    })
    return item(found, 0)
  }

  #keyOf(node: number): string {
    return this.#keys[node] ?? ''
  }
}

/** Takes every step that is possible in a state, each in a copy of it. */
function eachStep(
  now: State,
  world: World,
  copy: () => State,
  onStep: (kind: StepKind, label: string, next: State) => void,
): void {
  for (const transition of transitions) {
    transition(now, world, (kind, label, change) => {
      const next = copy()
      change(next)
      forgetPowerless(world, next)
      onStep(kind, label, next)
    })
  }
}
