import { setTimeout as delay } from 'node:timers/promises'
import { errorCode } from '@jobyard/db/connect'
import { isAway, isFull } from '@jobyard/db/trouble'
import type { Logger } from 'pino'
import { DeadlineError, withDeadline } from './deadline.ts'

/** A server that a process needs before it can work. */
export interface AwaitedServer {
  /** What people call it. */
  readonly name: string
  /** The variable that names it. */
  readonly variable: string
  /** Only its host is shown. */
  readonly url: string
  /** @throws when the server does not answer, or must not be used as it is. */
  readonly check: () => Promise<void>
  readonly log: Logger
  /** Time one check may take, in milliseconds. */
  readonly deadlineMs?: number
  /** Time between two checks, in milliseconds. */
  readonly everyMs?: number
}

/**
 * Waits until a server answers and has room. While it does not, one line per attempt goes to the log, and to the parent process as
 * `{ waiting: line }`.
 *
 * @throws Error with one clear line when the server answers, but refuses or must not be used.
 */
export async function awaitServer(server: AwaitedServer): Promise<void> {
  const { name, variable, url, check, log, deadlineMs = 5_000, everyMs = 3_000 } = server
  const who = `${name} at ${new URL(url).host} (${variable})`
  for (;;) {
    try {
      return await withDeadline(check(), deadlineMs, 'The check')
    } catch (error) {
      if (!isNotReady(error)) throw errorCode(error) ? new Error(`${who} refuses: ${String(error)}`) : error
      const line = `${who} does not answer: ${reasonOf(error)}. Trying again every ${everyMs / 1_000} s`
      log.warn(line)
      process.send?.({ waiting: line })
    }
    await delay(everyMs)
  }
}

function isNotReady(error: unknown): boolean {
  return error instanceof DeadlineError || isAway(error) || isFull(error)
}

function reasonOf(error: unknown): string {
  return errorCode(error) || (error instanceof Error ? error.message : String(error))
}
