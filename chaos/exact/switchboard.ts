import type { Fault, OnCall } from './fault.ts'
import { CommandLabels, labelOfStatement } from './labels.ts'
import type { RedisCall } from './redis-wire.ts'

/** A call by its place and its number since the last {@link Switchboard.begin}: `record/worker/claim/1`. */
export type Point = string

/** A fault, and where it is to happen. */
export interface ArmedFault {
  readonly point: Point
  readonly fault: Fault
  /** Called when it happens. */
  readonly onBegin: () => void
}

/** Sees every call of one platform on its way, and lets one fault happen at one point. */
export class Switchboard {
  readonly #commands = new CommandLabels()
  readonly #reached: Point[] = []
  readonly #counts = new Map<string, number>()
  readonly #heldBack = new Map<string, Promise<void>>()
  #armed: ArmedFault | undefined
  #over: PromiseWithResolvers<void> | undefined

  /** Starts counting anew. @param armed the fault that is to happen, and where. */
  begin(armed?: ArmedFault): void {
    this.#reached.length = 0
    this.#counts.clear()
    this.#armed = armed
    this.#over = undefined
  }

  /** The points that were reached since then, in order. */
  get reached(): readonly Point[] {
    return this.#reached
  }

  /** Resolves when the fault has happened as a whole; at once when it has not begun, and then it will not happen any more. */
  async over(): Promise<void> {
    this.#armed = undefined
    await this.#over?.promise
  }

  /** Delays every call of a place, like `record/doomed/beat`, until the returned function is called. */
  holdBack(place: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#heldBack.set(place, promise)
    return () => {
      this.#heldBack.delete(place)
      resolve()
    }
  }

  /** @returns what a Postgres wire asks. @param side of the switchboard, like `record/worker`. */
  statements(side: string): OnCall<string> {
    return (text) => this.#reach(`${side}/${labelOfStatement(text)}`)
  }

  /** @returns what a Redis wire asks. */
  commands(side: string): OnCall<RedisCall> {
    return (call) => this.#reach(`${side}/${this.#commands.labelOf(call)}`)
  }

  #reach(place: string): Fault | undefined {
    const nth = (this.#counts.get(place) ?? 0) + 1
    const point = `${place}/${nth}`
    this.#counts.set(place, nth)
    this.#reached.push(point)
    if (this.#armed?.point === point) return this.#inject(this.#armed)
    const released = this.#heldBack.get(place)
    return released && { kind: 'delayed', error: '', wait: () => released, done: () => {} }
  }

  #inject({ fault, onBegin }: ArmedFault): Fault {
    onBegin()
    const over = Promise.withResolvers<void>()
    this.#over = over
    this.#armed = undefined
    return { ...fault, done: over.resolve }
  }
}
