import { hostname } from 'node:os'
import { connect } from '@jobyard/db/connect'
import { readConfiguration, serverVariables } from '@jobyard/queues/configuration'
import { runProcess } from '@jobyard/queues/process'

/** A worker process whose last heartbeat is older than this is not well, in seconds: three leases. */
const staleAfterSeconds = 30

/** Health check of a container: exits with 0 when a worker process of this host beats, else with 1 and the reason. */
await runProcess(async () => {
  const { DATABASE_URL } = readConfiguration({ DATABASE_URL: serverVariables.DATABASE_URL }, process.env)
  const db = connect(DATABASE_URL, { applicationName: 'jobyard-health', max: 1 })
  try {
    const beating = await db.sql`
      select 1 from workers where host = ${hostname()} and beat_at > now() - make_interval(secs => ${staleAfterSeconds})`
    if (beating.length === 0)
      throw new Error(`No worker process of ${hostname()} has beaten for ${staleAfterSeconds} s`)
  } finally {
    await db.close()
  }
})
