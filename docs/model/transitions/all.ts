import { faults } from '../faults.ts'
import type { Transition } from '../step.ts'
import { endHandler, killByPoison, settleOutcome } from './attempts.ts'
import { executeClaim, fetchTicket, learnAnswer } from './claims.ts'
import { checkOwnership, exit, reapDead, rescueOrphans, restart, shutDown, startOver } from './processes.ts'
import { cancelJob, promoteDue, redriveInPlace } from './record.ts'
import { findSuspect } from './suspects.ts'
import { arrive, comeAgain, sendProbe, sweepByAge } from './tickets.ts'

/** Everything that can happen, in the order of a job's way; what goes wrong comes last. */
export const transitions: readonly Transition[] = [
  arrive,
  fetchTicket,
  executeClaim,
  learnAnswer,
  endHandler,
  settleOutcome,
  promoteDue,
  findSuspect,
  killByPoison,
  restart,
  reapDead,
  rescueOrphans,
  startOver,
  checkOwnership,
  shutDown,
  exit,
  comeAgain,
  sendProbe,
  sweepByAge,
  cancelJob,
  redriveInPlace,
  ...faults,
]
