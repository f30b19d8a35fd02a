import { runProcess, stopOnSignals } from '@jobyard/queues/process'

const signals = stopOnSignals()
await runProcess(async () => {
  const { work } = await import('./work.ts')
  await work(signals)
})
