import { setTimeout as delay } from 'node:timers/promises'
import { slowWish } from '../../load/wishes.ts'
import type { Trial, TrialContext } from '../trial.ts'
import { TicketTamperer } from './ticket-tamperer.ts'

const rounds = 120
const everyMs = 60
/** Few slots, so that tickets wait. */
const env = { WORKER_CONCURRENCY: '5' }

export const tickets: readonly Trial[] = [
  {
    row: 8,
    name: 'tickets are doubled, delayed, reordered and lost',
    run: async (context) => {
      const stage = await context.stage({ apis: 1, env })
      const client = context.client(stage, { wish: slowWish(50), jobsPerSecond: 250, cancelPercent: 0 })
      const tamperer = new TicketTamperer(stage, context.random.fork())
      client.start()
      await context.ledger.accepts(100)
      for (let round = 0; round < rounds; round++) {
        await tamper(context, tamperer)
        await delay(everyMs)
      }
      await tamperer.close()
      await context.endWell(stage)
      for (const kind of ['doubled', 'delayed', 'reordered', 'lost']) {
        context.expect((context.faults[`tickets ${kind}`] ?? 0) > 0, 'row 8', `No ticket was ${kind}`)
      }
    },
  },
]

async function tamper(context: TrialContext, tamperer: TicketTamperer): Promise<void> {
  const kind = context.random.pick(['doubled', 'delayed', 'reordered', 'lost'] as const)
  const does = {
    doubled: () => tamperer.double(someIds(context)),
    delayed: () => tamperer.delay(),
    reordered: () => tamperer.reorder(),
    lost: () => tamperer.lose(),
  }
  const touched = await does[kind]()
  if (touched > 0) context.injected(`tickets ${kind}`, String(touched))
}

/** Jobs of old and new tickets, so that some of them have ended. */
function someIds({ ledger, random }: TrialContext): string[] {
  return Array.from({ length: random.int(1, 20) }, () => random.pick(ledger.accepted).id ?? '')
}
