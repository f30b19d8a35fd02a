import { runProcess, stopOnSignals } from '@jobyard/queues/process'

/* A worker process that runs the naughty types, too. */

const signals = stopOnSignals()
await runProcess(async () => {
  const { work } = await import('@jobyard/workers/work')
  const { createHandlers } = await import('@jobyard/workers/handlers/index')
  const { naughtyCatalogue } = await import('./contracts.ts')
  const { naughtyHandlers } = await import('./handlers.ts')
  await work(signals, {
    catalogue: naughtyCatalogue,
    createHandlers: (deps) => [...createHandlers(deps), ...naughtyHandlers],
  })
})
