import { describeOnBothCarriers } from '@jobyard/testing/platform'
import { expect, inject, it } from 'vitest'
import { tryPoints } from './exact.ts'
import { lives } from './lives.ts'

const faults = 20

describeOnBothCarriers('Faults at exact points', (carrier) => {
  it('lose no job, double none, and leave no event out', async () => {
    const report = await tryPoints(
      { carrier, seed: 20_26, minutes: 1, rows: [], onProgress: () => {} },
      {
        postgresAdminUrl: inject('postgresAdminUrl'),
        lives: lives.filter(({ long }) => !long),
        most: faults,
        lanes: 4,
      },
    )
    expect(report.violations).toEqual([])
    expect(report).toMatchObject({ lost: 0, doubled: 0, eventsMissing: 0 })
    const injected = Object.values(report.faults.exact).reduce((sum, count) => sum + count, 0)
    expect(injected).toBeGreaterThan(faults / 4)
    expect(report.accepted).toBeGreaterThan(injected)
  }, 60_000)
})
