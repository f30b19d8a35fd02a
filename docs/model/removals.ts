import type { RuleName } from './rules.ts'
import type { Finding } from './search.ts'
import type { Scenario } from './world.ts'

/** A rule that is taken away, a small world in which that shows, and what breaks there. */
export interface Removal {
  readonly rule: RuleName
  readonly scenario: Partial<Scenario>
  readonly breaks: Finding
  /** The probe repairs it, seconds later: so there is none, to show that something is to be repaired. */
  readonly probeRepairs?: true
}

const besidePoison: Partial<Scenario> = { jobs: 2, slots: 2, processes: 1, poison: 0b01 }

export const removals: readonly Removal[] = [
  { rule: 'claimOnlyQueued', scenario: { faults: 1, kinds: ['doubled send'] }, breaks: 'two runs' },
  { rule: 'claimNeedsWorkerRow', scenario: { faults: 1, kinds: ['pause'] }, breaks: 'innocent failed' },
  { rule: 'refusedClaimKeepsTicket', scenario: { faults: 1, kinds: ['pause'] }, breaks: 'stuck', probeRepairs: true },
  {
    rule: 'failedClaimKeepsTicket',
    scenario: { faults: 1, kinds: ['late statement'] },
    breaks: 'stuck',
    probeRepairs: true,
  },
  { rule: 'lateAnswersIgnored', scenario: { faults: 1, kinds: ['pause'] }, breaks: 'two runs' },
  { rule: 'settleOnlyRunning', scenario: { faults: 1, kinds: ['lost answer'] }, breaks: 'ended twice' },
  { rule: 'settleNamesEpoch', scenario: { faults: 1, kinds: ['pause'] }, breaks: 'write of an old epoch' },
  {
    rule: 'transactionEndsWithSettle',
    scenario: { transaction: true, faults: 1, kinds: ['pause'] },
    breaks: 'effects without completion',
  },
  { rule: 'endingWritesEvent', scenario: { cancels: 1 }, breaks: 'ended without its event' },
  { rule: 'terminalIsFinal', scenario: { cancels: 1 }, breaks: 'left a terminal status' },
  {
    rule: 'requeueHonoursCancel',
    scenario: { cancels: 1, faults: 1, kinds: ['crash'] },
    breaks: 'cancellation forgotten',
  },
  { rule: 'retryHonoursCancel', scenario: { cancels: 1, retries: 1 }, breaks: 'cancellation forgotten' },
  { rule: 'tickerQueuesRetries', scenario: { retries: 1 }, breaks: 'stuck' },
  { rule: 'ownershipCheck', scenario: { faults: 1, kinds: ['lost answer'] }, breaks: 'stuck' },
  { rule: 'checkSparesAwaited', scenario: {}, breaks: 'two runs' },
  { rule: 'declaredDeadStartsOver', scenario: { faults: 1, kinds: ['pause'] }, breaks: 'two runs' },
  { rule: 'orphansByAntiJoin', scenario: { shutdowns: 1, faults: 1, kinds: ['late statement'] }, breaks: 'stuck' },
  { rule: 'handBackBeforeTickets', scenario: { shutdowns: 1 }, breaks: 'stuck', probeRepairs: true },
  { rule: 'freshTicketIds', scenario: { faults: 1, kinds: ['pause'] }, breaks: 'stuck', probeRepairs: true },
  { rule: 'slotBeforeFetch', scenario: { jobs: 2, processes: 1, probe: false }, breaks: 'ping-pong' },
  { rule: 'restIsSentOn', scenario: { jobs: 2, processes: 1 }, breaks: 'stuck', probeRepairs: true },
  { rule: 'probeFindsLost', scenario: { faults: 1, kinds: ['lost send'] }, breaks: 'stuck' },
  { rule: 'sweepOnlyProven', scenario: {}, breaks: 'too many tickets' },
  { rule: 'marginAboveSend', scenario: {}, breaks: 'too many tickets' },
  {
    rule: 'ticketsSkipSuspects',
    scenario: { ...besidePoison, faults: 1, kinds: ['doubled send'] },
    breaks: 'innocent failed',
  },
  { rule: 'suspectsArePolled', scenario: { processes: 1, poison: 0b1 }, breaks: 'stuck' },
  { rule: 'suspectsOneAtATime', scenario: besidePoison, breaks: 'innocent failed' },
  { rule: 'suspectsAwaitOutcome', scenario: besidePoison, breaks: 'innocent failed' },
  {
    rule: 'doubtIsWaitedOut',
    scenario: { ...besidePoison, probe: false, faults: 1, kinds: ['lost answer', 'late statement'] },
    breaks: 'innocent failed',
  },
  {
    rule: 'suspectsRunAlone',
    scenario: { ...besidePoison, probe: false, faults: 1, kinds: ['crash'] },
    breaks: 'innocent failed',
  },
]

/** @returns what a removal is searched in. */
export function scenarioOf({ rule, scenario, probeRepairs }: Removal): Partial<Scenario> & { name: string } {
  return { name: rule, ...scenario, ...(probeRepairs && { probe: false }) }
}
