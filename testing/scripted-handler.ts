import { defineJob } from '@jobyard/queues/define-job'
import { PermanentError, SnoozeError } from '@jobyard/queues/errors'
import { defineHandler, type Handler, type HandlerContext } from '@jobyard/workers/define-handler'
import { z } from 'zod'

/** What a test wants the handler to do, per attempt; the last step repeats. */
export type Step = (ctx: HandlerContext, gate: Gate) => unknown

/** Lets a test wait for runs to begin, and decide when they end. */
export class Gate {
  readonly begun: HandlerContext[] = []
  readonly #waiting: { count: number; resolve: () => void }[] = []
  #open = Promise.withResolvers<void>()

  /** Called by a run. */
  enter(ctx: HandlerContext): void {
    this.begun.push(ctx)
    for (const { count, resolve } of this.#waiting) if (this.begun.length >= count) resolve()
  }

  /** Resolves when `count` runs have begun. */
  async runs(count: number): Promise<void> {
    if (this.begun.length >= count) return
    await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }))
  }

  /** Resolves when the test opens the gate. */
  get opened(): Promise<void> {
    return this.#open.promise
  }

  open(): void {
    this.#open.resolve()
  }
}

export const scripted = defineJob({
  type: 'scripted',
  queue: 'scripted',
  description: 'Does what a test says',
  input: z.strictObject({ script: z.string(), n: z.number().optional() }),
  output: z.unknown(),
  retry: { maxAttempts: 3, initialDelayMs: 1, maxDelayMs: 1 },
  timeoutMs: 20_000,
})

const scripts = new Map<string, { steps: Step[]; gate: Gate; runs: Map<string, number> }>()

/** Registers what the jobs with input `{ script: name }` do. @returns the gate of their runs. */
export function script(name: string, ...steps: Step[]): Gate {
  const gate = new Gate()
  scripts.set(name, { steps, gate, runs: new Map() })
  return gate
}

/** The handler of {@link scripted}. */
export const scriptedHandler: Handler = defineHandler(scripted, async (input, ctx) => {
  const entry = scripts.get(input.script)
  if (!entry) throw new PermanentError(`There is no script ${input.script}`)
  const run = entry.runs.get(ctx.jobId) ?? 0
  entry.runs.set(ctx.jobId, run + 1)
  entry.gate.enter(ctx)
  return entry.steps[Math.min(run, entry.steps.length - 1)]?.(ctx, entry.gate)
})

/** Steps that tests are made of. */
export const steps = {
  ok: (() => 'done') as Step,
  error: (() => {
    throw new Error('no luck')
  }) as Step,
  permanent: (() => {
    throw new PermanentError('never', 'hopeless')
  }) as Step,
  snooze: (() => {
    throw new SnoozeError(1)
  }) as Step,
  untilOpened: (async (_ctx, gate) => {
    await gate.opened
    return 'done'
  }) as Step,
  untilAborted: ((ctx) =>
    new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason as Error)))) as Step,
  returns:
    (value: unknown): Step =>
    () =>
      value,
  throws:
    (value: unknown): Step =>
    () => {
      throw value
    },
}
