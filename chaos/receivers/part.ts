import type { Part } from '../report.ts'
import { runTrials } from '../rows/rows.ts'
import type { Trial } from '../rows/trial.ts'
import { besieged } from './besieged.ts'
import { ratios, tellSteadily } from './side-by-side.ts'

/** Most of a minute goes to the first trial. */
const eventsPerMinute = 10_000
/** Seconds of each of the runs that are compared, of a minute; and the least that tells anything. */
const comparedSecondsPerMinute = 6
const leastComparedSeconds = 20

/** Receivers of every kind at once, while workers are killed; and whether the slow ones among them cost the others anything. */
export const receivers: Part = async (options) => {
  const { minutes } = options
  const events = Math.ceil(minutes * eventsPerMinute)
  const seconds = Math.max(minutes * comparedSecondsPerMinute, leastComparedSeconds)
  const trials: readonly Trial[] = [
    {
      row: 33,
      name: 'receivers of every kind, and workers killed',
      minutes: 2 * minutes + 8,
      run: (context) => besieged(context, events),
    },
    { row: 31, name: 'healthy receivers alone', minutes, run: (context) => tellSteadily(context, 'alone', seconds) },
    {
      row: 31,
      name: 'healthy receivers beside slow ones',
      minutes,
      run: (context) => tellSteadily(context, 'beside slow ones', seconds),
    },
  ]
  const report = await runTrials('receivers', trials, options)
  return { ...report, figures: { ...report.figures, ...ratios(report.figures) } }
}
