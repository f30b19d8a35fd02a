import { constants, setPriority } from 'node:os'

/**
 * For a process that stands for other machines: what runs on this one should not keep it from its schedule. Only root may do this; else
 * it may come late, which shows in the tables.
 */
export function takePrecedence(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST)
  } catch {
    // Then it runs as any other.
  }
}
