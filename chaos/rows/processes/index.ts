import type { Trial } from '../trial.ts'
import { blocked } from './blocked.ts'
import { cancellation } from './cancellation.ts'
import { clocks } from './clocks.ts'
import { killedWorkers } from './killed-worker.ts'
import { outcomes } from './outcomes.ts'
import { poison } from './poison.ts'
import { stopping } from './stopping.ts'
import { tickets } from './tickets.ts'
import { versions } from './versions.ts'

/** Trials of what processes, tickets and handlers do wrong. */
export const trials: readonly Trial[] = [
  ...killedWorkers,
  ...tickets,
  ...outcomes,
  ...blocked,
  ...clocks,
  ...cancellation,
  ...stopping,
  ...versions,
  ...poison,
]
