import { setTimeout as delay } from 'node:timers/promises'
import { defineJob } from '@jobyard/queues/define-job'
import { PermanentError, SnoozeError } from '@jobyard/queues/errors'
import { defineBatchHandler, defineHandler, type Handler, type HandlerContext } from '@jobyard/workers/define-handler'
import { echo } from '@jobyard/workers/handlers/echo'
import { z } from 'zod'
import type { Scene } from './scene.ts'

/** Queues that every worker of a platform serves, and the one of workers that come and go. */
export const queues = { lasting: ['default', 'batched'], aside: 'aside' }

const shapes = {
  input: z.strictObject({ value: z.string(), act: z.string() }),
  output: z.strictObject({ value: z.string() }),
  retry: { initialDelayMs: 1, jitter: 0 },
}
const acting = defineJob({ type: 'act', description: 'Does what its input names', ...shapes })
const aside = defineJob({ type: 'aside', queue: queues.aside, description: 'The same, in another queue', ...shapes })
const batched = { queue: 'batched', batch: { size: 4, maxWaitMs: 20 }, ...shapes }
const apart = defineJob({ type: 'batch.apart', description: 'A batch with an answer each', ...batched })
const together = defineJob({ type: 'batch.together', description: 'A batch in one transaction', ...batched })

/** Jobs at once, by the worker: few enough that tickets are passed on, and that one which is not to live on gets no second one. */
const slots = { lasting: 2, passing: 1 }

/** @returns how many jobs a worker of this role runs at once. */
export function slotsOf(role: string): number {
  return role === 'worker' ? slots.lasting : slots.passing
}

/** Contracts of what the handlers run. */
export const contracts = [echo.contract, acting, aside, apart, together]

/**
 * Makes the handlers of one worker.
 *
 * @param role of the worker: one that is not to live on keeps what it runs.
 * @param scene where the handlers tell what they do.
 */
export function createHandlers(role: string, scene: () => Scene): Handler[] {
  const leaves = role === 'leaving' || role === 'doomed'
  const act = async ({ value, act: name }: { value: string; act: string }, ctx: HandlerContext) => {
    switch (name) {
      case 'fail':
        throw new PermanentError('Nothing can be done', 'hopeless')
      case 'wait':
        await delay(60_000, undefined, { signal: ctx.signal })
        break
      case 'stay':
        if (leaves) await delay(60_000, undefined, { signal: ctx.signal })
        break
      case 'be late':
        if (leaves) await scene().curtain
        break
      case 'snooze':
        if (scene().isFirst(ctx.jobId)) throw new SnoozeError(1)
        break
      case 'report':
        for (let part = 1; part <= 4; part++) {
          ctx.progress(part / 4, `part ${part}`)
          await delay(300, undefined, { signal: ctx.signal })
        }
        break
      case 'write':
        return ctx.transaction(async (sql) => {
          await sql`insert into effects (job_id) values (${ctx.jobId})`
          return { value }
        })
    }
    return { value }
  }
  const answer = ({ value, act: name }: { value: string; act: string }) =>
    name === 'fail' ? new PermanentError('Nothing can be done', 'hopeless') : { value }
  return [
    echo,
    defineHandler(acting, act),
    defineHandler(aside, act),
    defineBatchHandler(apart, async (jobs) => jobs.map(({ input }) => answer(input))),
    defineBatchHandler(together, (_jobs, ctx) =>
      ctx.transaction(async (sql, jobs) => {
        for (const { jobId, input } of jobs) {
          if (input.act !== 'fail') await sql`insert into effects (job_id) values (${jobId})`
        }
        return jobs.map(({ input }) => answer(input))
      }),
    ),
  ].map((handler) => watched(handler, role, scene))
}

/** The handler, whose runs are told to the scene. */
function watched(handler: Handler, role: string, scene: () => Scene): Handler {
  const { contract } = handler
  const seat = { role, queue: contract.queue, slots: slotsOf(role) + (contract.batch?.size ?? 1) - 1 }
  return 'runBatch' in handler
    ? { contract, runBatch: (jobs, ctx) => scene().watch(seat, jobs, () => handler.runBatch(jobs, ctx)) }
    : { contract, run: (input, ctx) => scene().watch(seat, [ctx], () => handler.run(input, ctx)) }
}
