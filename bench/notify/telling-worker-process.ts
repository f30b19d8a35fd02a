import { openCarrier } from '@jobyard/queues/carrier'
import { echo } from '@jobyard/workers/handlers/echo'
import { startWorkers } from '@jobyard/workers/supervisor'
import type { CarrierKind } from '../accept/contestants.ts'
import type { Place } from '../accept/rivals.ts'
import { beService } from '../accept/service.ts'
import { watchAttempts } from '../latency/attempts.ts'
import { retention, webhooksTo } from '../platform-options.ts'
import { ArrivalLog } from './arrivals.ts'
import type { ArrivalsQuestion } from './reader-process.ts'

/** Task of the process that runs jobs and tells of them. */
export interface TellingTask {
  readonly place: Place
  readonly carrier: CarrierKind
  /** Whom deliveries may reach, as `OUTBOUND_ALLOW` names them. */
  readonly allow: string
}

/** Jobs at once, as in the part `latency`. */
const concurrency = 500

const { place, carrier, allow } = await beService<TellingTask>()
const settled = new ArrivalLog()
await startWorkers({
  databaseUrl: place.databaseUrl,
  carrier: openCarrier({
    databaseUrl: place.databaseUrl,
    redisUrl: carrier === 'redis' ? place.redisUrl : undefined,
    listeners: 2,
    onError: (error) => {
      throw error
    },
  }),
  handlers: [echo],
  concurrency,
  retention,
  webhooks: webhooksTo(allow),
  log: watchAttempts(({ jobId, type }) => {
    if (type === echo.contract.type) settled.note(jobId)
  }),
})
process.on('message', ({ events, timeoutMs }: ArrivalsQuestion) => {
  void settled.wait(events, timeoutMs).then(() => process.send?.(settled.take()))
})
process.send?.({})
