import { buildApp } from '@jobyard/api/app'
import { connect } from '@jobyard/db/connect'
import { openCarrier } from '@jobyard/queues/carrier'
import { catalogue } from '@jobyard/queues/catalogue'
import { createLogger } from '@jobyard/queues/logger'
import { adminKey, installationSecret } from '../accept/contestants.ts'
import type { Place } from '../accept/rivals.ts'
import { beService } from '../accept/service.ts'

/** Task of an API process whose one tenant and key may read as many streams as the process serves. */
export interface StreamsApiTask {
  readonly place: Place
  readonly streams: number
}

const { place, streams } = await beService<StreamsApiTask>()
const log = createLogger('api', 'warn')
const app = await buildApp({
  db: connect(place.databaseUrl, { applicationName: 'jobyard-api' }),
  carrier: openCarrier({ ...place, onError: (error) => log.warn({ err: error }, 'The carrier has trouble') }),
  catalogue,
  adminKey,
  secret: installationSecret,
  version: 'bench',
  eventStreamLimits: { maxPerKey: streams, maxPerTenant: streams },
  log,
})
process.send?.({ listening: await app.listen({ host: '127.0.0.1', port: 0 }) })
