import type { Trial } from '../trial.ts'
import { apiKilled } from './api-killed.ts'
import { carrierForgets } from './carrier-forgets.ts'
import { halfOpen } from './half-open.ts'
import { keyRevoked } from './key-revoked.ts'
import { longTransaction } from './long-transaction.ts'
import { oneKey } from './one-key.ts'
import { postgresRefuses } from './postgres-refuses.ts'
import { postgresRestarts } from './postgres-restarts.ts'
import { reconcilers } from './reconcilers.ts'
import { redisAway } from './redis-away.ts'
import { redisRefuses } from './redis-refuses.ts'
import { settling } from './settling.ts'
import { workerAcknowledges } from './worker-acknowledges.ts'

/** Trials of what may happen to servers, and to processes at exact moments. */
export const trials: readonly Trial[] = [
  ...apiKilled,
  ...workerAcknowledges,
  ...carrierForgets,
  ...redisAway,
  ...redisRefuses,
  ...postgresRestarts,
  ...settling,
  ...postgresRefuses,
  ...halfOpen,
  ...longTransaction,
  ...oneKey,
  ...reconcilers,
  ...keyRevoked,
]
