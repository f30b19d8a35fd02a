/**
 * The rules that the protocol rests on. Each can be taken away, to see what it is for, and is asked at the one place that it
 * governs.
 */
export const ruleTexts = {
  claimOnlyQueued: 'A claim takes only rows that are queued',
  claimNeedsWorkerRow: 'A claim takes nothing when the workers row of its process is gone',
  refusedClaimKeepsTicket: 'A claim refused because its process was declared dead is repeated, and keeps its ticket',
  failedClaimKeepsTicket: 'A claim that gets no answer is repeated, and keeps its ticket',
  lateAnswersIgnored: 'The answer to a claim under an id that was given up since is ignored',
  settleOnlyRunning: 'A settlement changes only a row that is running',
  settleNamesEpoch: 'A settlement changes only a row of the epoch it names',
  transactionEndsWithSettle: 'A transaction of a handler is rolled back when its settlement changes no row',
  endingWritesEvent: 'Every statement that ends a job writes its event',
  terminalIsFinal: 'A terminal status is never left: a redrive makes a new job',
  requeueHonoursCancel: 'A row leaves running for queued only if no cancellation was asked for, else it is cancelled',
  retryHonoursCancel: 'A row leaves running for retrying only if no cancellation was asked for, else it is cancelled',
  tickerQueuesRetries:
    'The ticker moves retrying rows to their queue and sends their tickets; there are no delayed tickets',
  ownershipCheck: 'Every beat reads the rows that are mine, and hands back those that memory does not know',
  checkSparesAwaited: 'The ownership check spares rows whose claim is not answered yet',
  declaredDeadStartsOver: 'A process that was declared dead aborts its runs and takes a new id',
  orphansByAntiJoin: 'Orphans are all running rows without a workers row, whenever they became so',
  handBackBeforeTickets: 'A stopping process hands its rows back first, and sends their tickets last',
  freshTicketIds: 'Every ticket has an id of its own, never that of its row',
  slotBeforeFetch: 'A ticket is fetched only with a free slot in hand',
  restIsSentOn: 'The jobs of a ticket for which there is no slot are sent on',
  probeFindsLost: 'A queued row that is older than a probe that came out gets a new ticket',
  sweepOnlyProven: 'Rows get a new ticket only when a probe has proved the old one lost, not for their age',
  marginAboveSend: 'A probe proves nothing about a row whose ticket may be on its way still',
  ticketsSkipSuspects: 'A ticket does not claim a suspect',
  suspectsArePolled: 'Every process looks for suspects in the record',
  suspectsOneAtATime: 'A process runs one suspect at a time',
  suspectsAwaitOutcome: 'A process takes no suspect before the outcome of its last one is in the record',
  doubtIsWaitedOut: 'After a claim without an answer a process takes no suspect until what it took was given back',
  suspectsRunAlone: 'A process that runs a suspect runs nothing else',
} as const

export type RuleName = keyof typeof ruleTexts
export type Rules = Readonly<Record<RuleName, boolean>>

const all = Object.fromEntries(Object.keys(ruleTexts).map((name) => [name, true])) as Rules

/** The platform as it is. */
export const asBuilt: Rules = all

/** @returns the platform as it is without some of its rules. */
export function without(...names: readonly RuleName[]): Rules {
  return { ...asBuilt, ...Object.fromEntries(names.map((name) => [name, false])) }
}
