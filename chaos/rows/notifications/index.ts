import type { Trial } from '../trial.ts'
import { answers } from './answers.ts'
import { hostileReceivers } from './hostile.ts'
import { relays } from './relays.ts'
import { resumedStreams } from './resumed-streams.ts'
import { secretRotated } from './secret-rotated.ts'

/** Trials of what receivers do wrong, and of what goes wrong between the platform and those who listen. */
export const trials: readonly Trial[] = [
  ...hostileReceivers,
  ...answers,
  ...relays,
  ...resumedStreams,
  ...secretRotated,
]
