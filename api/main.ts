import { checkServer } from '@jobyard/db/check-server'
import { connect } from '@jobyard/db/connect'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { openCarrier } from '@jobyard/queues/carrier'
import { catalogue } from '@jobyard/queues/catalogue'
import { createLogger } from '@jobyard/queues/logger'
import { runProcess, stopOnSignals } from '@jobyard/queues/process'
import { buildApp } from './app.ts'
import { readConfig } from './config.ts'
import packageJson from './package.json' with { type: 'json' }

await runProcess(async () => {
  const config = readConfig(process.env)
  const log = createLogger('api', config.LOG_LEVEL)
  const db = connect(config.DATABASE_URL, { applicationName: 'jobyard-api' })
  const carrier = openCarrier({
    redisUrl: config.REDIS_URL,
    databaseUrl: config.DATABASE_URL,
    onError: (error) => log.warn({ err: error }, 'The carrier has trouble'),
  })
  await checkServer(db.sql)
  await ensureQueues(db.sql, catalogue.queues)

  let accepting = true
  const app = await buildApp({
    db,
    carrier,
    catalogue,
    adminKey: config.JOBYARD_ADMIN_KEY,
    secret: config.JOBYARD_SECRET,
    version: packageJson.version,
    log,
    accepting: () => accepting,
  })
  stopOnSignals({
    log,
    stop: async () => {
      accepting = false
      await app.close()
      await carrier.close()
      await db.close()
    },
    hurry: () => process.exit(0),
  })
  const address = await app.listen({ host: config.HOST, port: config.PORT })
  log.info({ address, carrier: carrier.kind }, 'api is up')
  process.send?.({ listening: address })
})
