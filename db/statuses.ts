/** Statuses of a job, in the order in which it meets them. */
export const jobStatuses = ['scheduled', 'queued', 'running', 'retrying', 'completed', 'failed', 'cancelled'] as const
export type JobStatus = (typeof jobStatuses)[number]

/** Statuses that are never left. */
export const terminalStatuses = ['completed', 'failed', 'cancelled'] as const satisfies readonly JobStatus[]
export type TerminalStatus = (typeof terminalStatuses)[number]

/** The terminal statuses as SQL literals, for `in (…)`. */
export const terminalStatusList = terminalStatuses.map((status) => `'${status}'`).join(', ')

/** @returns whether a job of this status has ended for good. */
export function isTerminal(status: JobStatus): status is TerminalStatus {
  return (terminalStatuses as readonly JobStatus[]).includes(status)
}

/** How an attempt ended. */
export const outcomes = ['completed', 'failed', 'timed_out', 'cancelled', 'snoozed', 'handed_back', 'crashed'] as const
export type Outcome = (typeof outcomes)[number]
