import fc from 'fast-check'
import { sequences, someRequests } from './commands.ts'
import { heal } from './healing.ts'
import { emptyRecord, truncateRecord } from './ledger.ts'
import { newProcess, openStage, type Stage } from './stage.ts'
import { submit, type Request } from './upkeep-calls.ts'
import { crash } from './worker-calls.ts'
import { inOrder, ViolationError, World } from './world.ts'

export interface SequencesOptions {
  /** Whole number of 32 bits; the same seed makes the same commands. */
  readonly seed: number
  /** Sequences in all. */
  readonly runs: number
  /** Migrated databases that nobody else uses; one sequence at a time runs in each. */
  readonly databaseUrls: readonly string[]
  /** Commands of one sequence at most. */
  readonly maxCommands?: number
  /** False: the first failure is reported as it was found. */
  readonly shrink?: boolean
  /** Where to begin, of an earlier failure. */
  readonly replay?: { readonly path: string; readonly replayPath?: string }
  /** Told how many sequences are done. */
  readonly onProgress?: (done: number) => void
}

/** A sequence after which the record was not as it must be. */
export interface SequenceFailure {
  /** Of the chunk that failed: with it and `path` a run of one sequence repeats the failure. */
  readonly seed: number
  readonly path: string
  /** Names of what was violated. */
  readonly invariants: readonly string[]
  /** The shrunk commands, the order of the scheduler, and what was found. */
  readonly report: string
}

export interface SequencesResult {
  /** Sequences that were run. */
  readonly runs: number
  readonly reached: Reached
  readonly failure?: SequenceFailure
}

/** What the sequences went through. */
export interface Reached {
  /** Looks at the record, each of which judged every invariant. */
  steps: number
  /** Steps of several calls at the same time. */
  crowds: number
  /** How jobs ended, by status or reason of failure. */
  readonly endings: Map<string, number>
}

/** Sequences with one seed; then the next database that is free goes on with the next seed. */
const chunkSize = 25
const defaultMaxCommands = 40

/**
 * Runs random sequences of commands of the platform's own code against Postgres, and judges the record after each step.
 * Stops at the first failure.
 *
 * @throws the driver's error when Postgres cannot be reached.
 */
export async function runSequences(options: SequencesOptions): Promise<SequencesResult> {
  const { runs, databaseUrls, onProgress } = options
  const reached: Reached = { steps: 0, crowds: 0, endings: new Map() }
  let [started, done] = [0, 0]
  let failure: SequenceFailure | undefined
  const work = async (databaseUrl: string) => {
    const stage = await openStage(databaseUrl)
    try {
      while (started < runs && !failure) {
        const chunk = { seed: options.seed + started / chunkSize, numRuns: Math.min(chunkSize, runs - started) }
        started += chunkSize
        failure ??= await runChunk(stage, chunk, options, reached)
        done += chunk.numRuns
        onProgress?.(done)
      }
    } finally {
      await stage.close()
    }
  }
  await Promise.all(databaseUrls.map(work))
  return { runs: done, reached, ...(failure && { failure }) }
}

async function runChunk(
  stage: Stage,
  chunk: { seed: number; numRuns: number },
  { maxCommands = defaultMaxCommands, shrink = true, replay }: SequencesOptions,
  reached: Reached,
): Promise<SequenceFailure | undefined> {
  const property = fc.asyncProperty(
    fc.scheduler(),
    someRequests,
    sequences(maxCommands, replay?.replayPath),
    (scheduler, requests, commands) => runSequence(new World(stage, scheduler), scheduler, requests, commands, reached),
  )
  const path = replay === undefined ? {} : { path: replay.path }
  await truncateRecord(stage.db.sql)
  const details = await fc.check(property, { ...chunk, ...path, endOnFailure: !shrink, unbiased: true })
  if (!details.failed) return undefined
  const { errorInstance, seed, counterexamplePath } = details
  return {
    seed,
    path: counterexamplePath ?? '',
    invariants: errorInstance instanceof ViolationError ? errorInstance.invariants : [String(errorInstance)],
    report: `${fc.defaultReportMessage(details)}\n\n${String(errorInstance)}`,
  }
}

async function runSequence(
  world: World,
  scheduler: fc.Scheduler,
  requests: readonly Request[],
  commands: Parameters<typeof fc.scheduledModelRun<World, World, false, World>>[2],
  reached: Reached,
): Promise<void> {
  const { stage } = world
  stage.bag.reset()
  await emptyRecord(stage.db.sql)
  try {
    world.processes.push(newProcess(stage), newProcess(stage))
    await world.perform(inOrder([...world.processes.map(crash), submit(world, requests)]))
    await fc.scheduledModelRun(scheduler, () => ({ model: world, real: world }), commands)
    for (const { status, reason = status } of await heal(world))
      reached.endings.set(reason, (reached.endings.get(reason) ?? 0) + 1)
  } finally {
    reached.steps += world.steps
    reached.crowds += world.crowds
    await world.abandon()
  }
}
