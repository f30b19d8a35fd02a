import type { RuleName } from './rules.ts'
import type { Sketch } from './scenarios.ts'
import type { Finding } from './search.ts'

/** What the platform as it is does not keep, and the rules with which it would. */
export interface Gap {
  readonly scenario: Sketch
  readonly breaks: Finding
  readonly closedBy: readonly RuleName[]
}

const besidePoison = { jobs: 2, slots: 2, processes: 1, poison: 0b01, probe: false }

export const gaps: readonly Gap[] = [
  {
    scenario: { ...besidePoison, name: 'two poison jobs and a neighbour', jobs: 3, poison: 0b101 },
    breaks: 'innocent failed',
    closedBy: ['suspectsRunAlone'],
  },
  {
    scenario: { ...besidePoison, name: 'poison and a neighbour, a process is killed', faults: 1, kinds: ['crash'] },
    breaks: 'innocent failed',
    closedBy: ['suspectsRunAlone'],
  },
  {
    scenario: { ...besidePoison, name: 'poison and a neighbour, a process stands still', faults: 1, kinds: ['pause'] },
    breaks: 'innocent failed',
    closedBy: ['suspectsRunAlone'],
  },
  {
    scenario: {
      ...besidePoison,
      name: 'poison and a neighbour, a claim is not answered',
      faults: 1,
      kinds: ['lost answer', 'late statement'],
    },
    breaks: 'innocent failed',
    closedBy: ['suspectClaimsExclude'],
  },
  {
    scenario: { ...besidePoison, name: 'poison and a neighbour, a process is cut off', faults: 1, kinds: ['cut off'] },
    breaks: 'innocent failed',
    closedBy: ['suspectsRunAlone', 'suspectClaimsExclude'],
  },
  {
    scenario: {
      ...besidePoison,
      name: 'two poison jobs and a neighbour, two processes',
      jobs: 3,
      processes: 2,
      poison: 0b101,
    },
    breaks: 'innocent failed',
    closedBy: ['suspectsRunAlone', 'suspectClaimsExclude'],
  },
  {
    scenario: { ...besidePoison, name: 'poison and a neighbour, any fault', faults: 1, probe: true, large: true },
    breaks: 'innocent failed',
    closedBy: ['suspectsRunAlone', 'suspectClaimsExclude'],
  },
]
