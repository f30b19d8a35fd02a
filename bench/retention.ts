import type { WorkersOptions } from '@jobyard/workers/supervisor'

const dayMs = 86_400_000

/** How long workers of ours keep what has ended: the platform's defaults for completed jobs, so that nothing of a run is pruned. */
export const retention: WorkersOptions['retention'] = {
  completedMs: 7 * dayMs,
  failedMs: 7 * dayMs,
  eventsMs: 7 * dayMs,
}
