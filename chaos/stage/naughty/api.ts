import { runProcess, stopOnSignals } from '@jobyard/queues/process'

/* An API process that takes the naughty types, too. */

const signals = stopOnSignals()
await runProcess(async () => {
  const { serve } = await import('@jobyard/api/serve')
  const { naughtyCatalogue } = await import('./contracts.ts')
  await serve(signals, naughtyCatalogue)
})
