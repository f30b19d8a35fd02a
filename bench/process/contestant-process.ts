import { answerParent } from '../child.ts'
import { batched, single } from './contestants.ts'
import type { PhaseRequest } from './measure.ts'
import { work } from './work.ts'

answerParent(async ({ contestant, phase, target }: PhaseRequest) => {
  const found = [...single, ...batched].find(({ name }) => name === contestant)
  if (!found) throw new Error(`There is no contestant "${contestant}"`)
  const system = await found.open()
  return phase === 'load' ? system.load(target) : work(system, target)
})
