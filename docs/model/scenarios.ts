import type { FaultKind, Scenario } from './world.ts'

/** Part of a scenario, the rest of which is as small as can be. */
export type Sketch = Partial<Scenario> & { readonly name: string }

/** With these, two processes and two jobs are few states yet. */
const simpleFaults: readonly FaultKind[] = [
  'lost send',
  'doubled send',
  'slow send',
  'lost answer',
  'late statement',
  'ticket comes again',
  'crash',
  'wipe',
]

const besidePoison: Partial<Scenario> = { jobs: 2, slots: 2, processes: 1, poison: 0b01, probe: false }

/** What is searched on every run of CI, under the rules of the platform as it is; the large ones only when asked for. */
export const scenarios: readonly Sketch[] = [
  { name: 'one job, one fault; retried, cancelled, handed back', retries: 1, faults: 1, cancels: 1, shutdowns: 1 },
  { name: 'one job, two faults; handed back', faults: 2, shutdowns: 1 },
  { name: 'one job in a transaction, two faults', transaction: true, faults: 2 },
  { name: 'two jobs in a ticket; cancelled', jobs: 2, cancels: 1 },
  { name: 'two jobs in a ticket; retried', jobs: 2, retries: 1 },
  { name: 'two jobs in a ticket; handed back', jobs: 2, shutdowns: 1 },
  { name: 'two jobs in a ticket, one process, one fault', jobs: 2, processes: 1, faults: 1 },
  { name: 'two jobs in a ticket, one fault but a pause or a cut', jobs: 2, faults: 1, kinds: simpleFaults },
  { name: 'three jobs in a ticket', jobs: 3 },
  { name: 'poison and a neighbour, one process', jobs: 2, slots: 2, processes: 1, poison: 0b01 },
  { name: 'poison and a neighbour, two processes', jobs: 2, slots: 2, poison: 0b01, probe: false },
  { name: 'poison and two neighbours, two processes', jobs: 3, slots: 3, poison: 0b001, probe: false },
  { ...besidePoison, name: 'two poison jobs and a neighbour', jobs: 3, poison: 0b101 },
  { ...besidePoison, name: 'poison and a neighbour, a process is killed', faults: 1, kinds: ['crash'] },
  { ...besidePoison, name: 'poison and a neighbour, a process stands still', faults: 1, kinds: ['pause'] },
  { ...besidePoison, name: 'poison and a neighbour, a process is cut off', faults: 1, kinds: ['cut off'] },
  {
    ...besidePoison,
    name: 'poison and a neighbour, a claim in doubt',
    faults: 1,
    kinds: ['lost answer', 'late statement'],
  },
  { ...besidePoison, name: 'two poison jobs and a neighbour, two processes', jobs: 3, processes: 2, poison: 0b101 },
  { ...besidePoison, name: 'poison and a neighbour, any fault', faults: 1, probe: true, large: true },
  { name: 'one job, three faults', faults: 3, large: true },
  { name: 'one job, two faults; retried, cancelled', retries: 1, faults: 2, cancels: 1, large: true },
  { name: 'two jobs in a ticket, one fault', jobs: 2, faults: 1, large: true },
  { name: 'two jobs in a ticket, two slots, one fault', jobs: 2, slots: 2, faults: 1, large: true },
]
