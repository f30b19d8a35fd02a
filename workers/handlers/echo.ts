import { setTimeout } from 'node:timers/promises'
import { echo as contract } from '@jobyard/queues/contracts/echo'
import { defineHandler } from '../define-handler.ts'

/** Gives its value back, after sleeping and failing as its input asks. */
export const echo = defineHandler(contract, async ({ value, sleepMs = 0, failTimes = 0 }, ctx) => {
  if (sleepMs > 0) await setTimeout(sleepMs, undefined, { signal: ctx.signal })
  if (ctx.attempt <= failTimes) throw new Error(`Attempt ${ctx.attempt} fails, as the first ${failTimes} are asked to`)
  return { value }
})
