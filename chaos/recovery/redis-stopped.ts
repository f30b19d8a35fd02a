import { setTimeout as delay } from 'node:timers/promises'
import { percentile } from '../percentile.ts'
import { expectAccepting, startClient } from '../rows/servers/redis-away.ts'
import type { TrialContext } from '../rows/trial.ts'

/** Time for which latencies are gathered, with Redis and without, in milliseconds: longer than the deadline of a send (queues/tickets.ts). */
const forMs = 4_000
/** Time after which nothing is left of an outage, in milliseconds. */
const settleMs = 5_000
/** Longest that the 99th of 100 answers may take while Redis is stopped, as a multiple of the usual. */
const mostTimes = 2

/** Stops Redis again and again, and compares how soon jobs are accepted then and usually. */
export async function redisStopped(context: TrialContext, times: number): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  const { ledger } = context
  await startClient(context, stage)
  const usual: number[] = []
  const stopped: number[] = []
  const eachTime: number[] = []
  for (let time = 0; time < times; time++) {
    await delay(settleMs)
    ledger.forgetLatencies()
    await delay(forMs)
    usual.push(...ledger.latencies)
    stage.redis?.signal('SIGSTOP')
    context.injected('Redis stopped')
    ledger.forgetLatencies()
    await expectAccepting(context, forMs, 'while Redis is stopped')
    stopped.push(...ledger.latencies)
    eachTime.push(percentile(ledger.latencies, 99))
    stage.redis?.signal('SIGCONT')
  }
  const [before, then] = [percentile(usual, 99), percentile(stopped, 99)]
  context.figures['p99 of a 202, ms'] = before
  context.figures['p99 of a 202 while Redis is stopped, ms'] = then
  context.figures['the worst of the stops, p99, ms'] = Math.max(...eachTime)
  context.figures['p99 while stopped, as a multiple'] = then / before
  context.expect(then <= mostTimes * before, 'R', `A 202 takes ${then.toFixed(1)} ms, usually ${before.toFixed(1)}`)
  await context.endWell(stage)
}
