import type { ReceiverSpec } from '../../receivers/desk.ts'
import { Receivers } from '../../receivers/receivers.ts'
import type { Stage, StageOptions } from '../../stage/stage.ts'
import type { TrialContext } from '../trial.ts'

/** Opens receivers, and a stage whose processes may reach them; both are closed at the end of the trial. */
export async function stageWithReceivers(
  context: TrialContext,
  specs: readonly ReceiverSpec[],
  options: Omit<StageOptions, 'carrier'> = {},
): Promise<{ readonly stage: Stage; readonly receivers: Receivers }> {
  const receivers = await Receivers.open(specs)
  context.afterwards(() => receivers.close())
  const stage = await context.stage({
    apis: 1,
    workers: 1,
    ...options,
    env: { ...receivers.environment(), ...options.env },
  })
  return { stage, receivers }
}
