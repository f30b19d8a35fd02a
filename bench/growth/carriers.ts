import type { CarrierKind } from '../accept/contestants.ts'
import { jobyardOn as chains, type Contestant as ChainContestant } from '../latency/contestants.ts'
import type { Contestant as SpeedContestant } from '../process/contestant.ts'
import { jobyardOn as speeds } from '../process/contestants.ts'

/** What carries the tickets: each has tables of its own. */
export interface Carrier {
  readonly kind: CarrierKind
  /** End of a title. */
  readonly label: string
  /** Ourselves on it, as the other parts measure us. */
  readonly speed: SpeedContestant
  readonly chain: ChainContestant
}

export const carriers: readonly Carrier[] = [
  { kind: 'redis', label: 'Redis', speed: speeds.redis, chain: chains.redis },
  { kind: 'postgres', label: 'embedded carrier', speed: speeds.postgres, chain: chains.postgres },
]
