import { setTimeout as delay } from 'node:timers/promises'

/**
 * Asks every `everyMs` milliseconds until there is an answer.
 *
 * @param what is waited for, for the error.
 * @param ask answers undefined or false as long as it is not so; what it throws counts as that.
 * @throws Error when it is not so within `withinMs` milliseconds.
 */
export async function until<Answer>(
  what: string,
  ask: () => Answer | false | undefined | Promise<Answer | false | undefined>,
  withinMs = 30_000,
  everyMs = 20,
): Promise<Answer> {
  const endAt = performance.now() + withinMs
  let trouble: unknown
  while (performance.now() < endAt) {
    try {
      const answer = await ask()
      if (answer !== undefined && answer !== false) return answer
    } catch (error) {
      trouble = error
    }
    await delay(everyMs)
  }
  throw new Error(`Waited ${withinMs} ms in vain: ${what}`, { cause: trouble })
}
