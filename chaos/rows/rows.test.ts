import { describeOnBothCarriers } from '@jobyard/testing/platform'
import { expect, it } from 'vitest'
import { runTrials } from './rows.ts'
import { trials as serverTrials } from './servers/index.ts'

/** Rows whose trials take a few seconds and need no luck. */
const rows = [3, 4, 22]
const trials = serverTrials.filter(({ row }) => rows.includes(row))

describeOnBothCarriers('A fast selection of the table of faults', (carrier) => {
  it.each(trials)(
    'row $row: $name',
    async (trial) => {
      const report = await runTrials('rows', [trial], { carrier, seed: 20_26, minutes: 1, rows, onProgress: () => {} })
      expect(report.violations).toEqual([])
      expect(Object.keys(report.faults.real)).not.toEqual([])
      expect(report.accepted).toBeGreaterThan(0)
    },
    60_000,
  )
})
