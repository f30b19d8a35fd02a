import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { carrierKinds } from '../../testing/platform.ts'
import { Random } from '../random.ts'
import { openStage, type Stage } from '../stage/stage.ts'
import { trials } from './servers/index.ts'
import { TrialContext } from './trial.ts'

/** Quick trials; `npm run chaos -- rows` tries every row. */
const chosen = [2, 4, 22]
const seed = 1

/** Plays several trials on one stage, since opening one takes longer than these. */
class Rehearsal extends TrialContext {
  readonly #stage: Stage

  constructor(stage: Stage) {
    super(stage.carrier, new Random(seed))
    this.#stage = stage
  }

  override async stage(): Promise<Stage> {
    return this.#stage
  }
}

describe.each(carrierKinds)('On %s no promise is broken', (carrier) => {
  let stage: Stage
  beforeAll(async () => {
    stage = await openStage({ carrier, apis: 3, workers: 1 })
  })
  afterAll(() => stage.close())

  it.each(trials.filter(({ row }) => chosen.includes(row)))('by row $row: $name', async ({ run }) => {
    const context = new Rehearsal(stage)
    await run(context)
    expect(context.violations).toEqual([])
    expect(context.faults).not.toEqual({})
  })
})
