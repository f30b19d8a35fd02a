import { setTimeout as delay } from 'node:timers/promises'
import { createCatalogue } from '@jobyard/queues/catalogue'
import { defineJob } from '@jobyard/queues/define-job'
import { runProcess, stopOnSignals } from '@jobyard/queues/process'
import { defineHandler } from '@jobyard/workers/define-handler'
import { z } from 'zod'

/* A worker process with one job type, whose jobs may kill it. */

const hazard = defineJob({
  type: 'hazard',
  queue: 'hazard',
  description: 'Takes some time, then ends, or kills its process.',
  input: z.strictObject({ lastsMs: z.int(), kills: z.boolean() }),
  output: z.string(),
})

const handler = defineHandler(hazard, async ({ lastsMs, kills }) => {
  await delay(lastsMs)
  if (kills) process.kill(process.pid, 'SIGKILL')
  return 'survived'
})

const signals = stopOnSignals()
await runProcess(async () => {
  const { work } = await import('@jobyard/workers/work')
  await work(signals, { catalogue: createCatalogue([hazard]), createHandlers: () => [handler] })
})
