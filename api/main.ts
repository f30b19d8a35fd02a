import { runProcess, stopOnSignals } from '@jobyard/queues/process'

const signals = stopOnSignals()
await runProcess(async () => {
  const { serve } = await import('./serve.ts')
  await serve(signals)
})
