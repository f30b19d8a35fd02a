import type { Part } from '../report.ts'
import { runTrials } from '../rows/rows.ts'
import type { Trial } from '../rows/trial.ts'
import { apiKilled } from './api-killed.ts'
import { askedToStop } from './asked-to-stop.ts'
import { carrierWiped } from './carrier-wiped.ts'
import { postgresRestarted } from './postgres-restarted.ts'
import { redisStopped } from './redis-stopped.ts'
import { workerKilled } from './worker-killed.ts'

/** Minutes from which on every fault is injected as often as its worst time is to be told of. */
const fullMinutes = 6
/** Injections of a fault in such a run, and of those that take long. */
const [often, seldom] = [20, 5]

/** How long the platform takes to work on after faults, each injected many times. */
export const recovery: Part = (options) => {
  const share = Math.min(options.minutes / fullMinutes, 1)
  const times = (full: number) => Math.max(Math.round(full * share), 1)
  const trials: readonly Trial[] = [
    { row: 5, name: 'workers killed', run: (context) => workerKilled(context, times(often)) },
    { row: 1, name: 'APIs killed between commit and ticket', run: (context) => apiKilled(context, times(often)) },
    { row: 9, name: 'carrier wiped with 100,000 jobs', run: (context) => carrierWiped(context, times(seldom)) },
    {
      row: 11,
      name: 'Redis stopped',
      carriers: ['redis'],
      minutes: Math.min(options.minutes, fullMinutes),
      run: (context) => redisStopped(context, times(often)),
    },
    { row: 14, name: 'Postgres restarted', run: (context) => postgresRestarted(context, times(often)) },
    { row: 25, name: 'asked to stop with 100 deaf jobs', run: (context) => askedToStop(context, times(often)) },
  ]
  return runTrials('recovery', trials, options)
}
