import { parseAllowList } from '@jobyard/outbound/address-rules'
import { createGuardedFetch } from '@jobyard/outbound/guarded-fetch'
import type { WorkersOptions } from '@jobyard/workers/supervisor'
import { installationSecret } from './accept/contestants.ts'

const dayMs = 86_400_000

/** How long workers of ours keep what has ended: the platform's defaults for completed jobs, so that nothing of a run is pruned. */
export const retention: WorkersOptions['retention'] = {
  completedMs: 7 * dayMs,
  failedMs: 7 * dayMs,
  eventsMs: 7 * dayMs,
  auditMs: 7 * dayMs,
}

/** Bounds of a request to a receiver, as in production. */
const outboundLimits = { timeoutMs: 30_000, maxBodyBytes: 1_048_576, maxHeaderBytes: 16_384 }

/** @returns what workers of ours need to bring events. @param allow whom they may reach, as `OUTBOUND_ALLOW` names them. */
export function webhooksTo(allow: string): WorkersOptions['webhooks'] {
  const guardedFetch = createGuardedFetch({ allow: parseAllowList(allow), ...outboundLimits })
  return { secret: installationSecret, guardedFetch }
}
