import type { CarrierKind } from '@jobyard/testing/platform'
import type { Random } from '../random.ts'
import type { Stage } from '../stage/stage.ts'

/** Something that goes wrong around the platform while it works. */
export interface Fault {
  readonly name: string
  /** Carriers that it can strike; both when absent. */
  readonly carriers?: readonly CarrierKind[]
  /**
   * Does the harm and ends it.
   *
   * @returns what was done, in a few words, for the timeline.
   */
  readonly inject: (stage: Stage, random: Random) => Promise<string>
}
