import { withDeadline } from '@jobyard/queues/deadline'
import { Random } from '../random.ts'
import { emptyReport, type Part, type PartOptions, type Report } from '../report.ts'
import { TrialContext, type Trial } from './trial.ts'

/** @returns the trials of every row, in order. */
async function allTrials(): Promise<readonly Trial[]> {
  const lists = await Promise.all([
    import('./servers/index.ts'),
    import('./processes/index.ts'),
    import('./notifications/index.ts'),
  ])
  return lists.flatMap(({ trials }) => trials).toSorted((a, b) => a.row - b.row)
}

/** Time that a trial may take beyond its own minutes, in milliseconds. */
const trialDeadlineMs = 240_000

/** Each row of the table of faults at least once, with what it asks for. Trials that take longer than a minute need the time for it, or are named by their row. */
export const rows: Part = async (options) => {
  const inTime = ({ minutes = 1 }: Trial) => options.rows.length > 0 || minutes <= options.minutes
  const trials = (await allTrials()).filter(inTime)
  return runTrials('rows', trials, options)
}

/** Runs those trials that are asked for and can strike the carrier, one after the other. @param part of the run, for the report. */
export async function runTrials(part: string, trials: readonly Trial[], options: PartOptions): Promise<Report> {
  const startedAt = performance.now()
  let report = emptyReport(part, options)
  const { carrier, rows: named } = options
  for (const trial of trials) {
    if (named.length > 0 && !named.includes(trial.row)) continue
    if (trial.carriers?.includes(carrier) ?? true) report = merge(report, await tryOne(trial, options))
  }
  return { ...report, seconds: (performance.now() - startedAt) / 1_000 }
}

async function tryOne(trial: Trial, { carrier, seed, onProgress }: PartOptions): Promise<TrialContext> {
  onProgress(`row ${trial.row} · ${trial.name}`)
  const context = new TrialContext(carrier, new Random(seed + trial.row))
  try {
    const withinMs = trialDeadlineMs + (trial.minutes ?? 0) * 60_000
    await withDeadline(trial.run(context), withinMs, `Row ${trial.row}`)
  } catch (error) {
    context.expect(
      false,
      'I1',
      `Row ${trial.row}, ${trial.name}: ${error instanceof Error ? error.stack : String(error)}`,
    )
  }
  await context.close()
  return context
}

function merge(report: Report, { ledger, verdicts, violations, recoveries, figures, faults }: TrialContext): Report {
  const add = (pick: (verdict: (typeof verdicts)[number]) => number) =>
    verdicts.reduce((sum, verdict) => sum + pick(verdict), 0)
  return {
    ...report,
    accepted: report.accepted + ledger.accepted.length,
    faults: { real: { ...report.faults.real, ...sumOf(report.faults.real, faults) }, exact: {} },
    lost: report.lost + add(({ lost }) => lost),
    doubled: report.doubled + add(({ doubled }) => doubled),
    eventsMissing: report.eventsMissing + add(({ eventsMissing }) => eventsMissing),
    violations: [...report.violations, ...violations],
    recoveries: joined(report.recoveries, recoveries),
    figures: { ...report.figures, ...figures },
  }
}

function sumOf(before: Record<string, number>, more: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(more).map(([name, count]) => [name, (before[name] ?? 0) + count]))
}

function joined(before: Record<string, readonly number[]>, more: Record<string, readonly number[]>) {
  const all: Record<string, readonly number[]> = { ...before }
  for (const [name, times] of Object.entries(more)) all[name] = [...(all[name] ?? []), ...times]
  return all
}
