import { readConfiguration, serverVariables } from '@jobyard/queues/configuration'
import { migrateAll } from '@jobyard/queues/migrate'
import { runProcess } from '@jobyard/queues/process'

await runProcess(async () => {
  const { DATABASE_URL, REDIS_URL } = readConfiguration(
    { DATABASE_URL: serverVariables.DATABASE_URL, REDIS_URL: serverVariables.REDIS_URL },
    process.env,
  )
  await migrateAll(DATABASE_URL, REDIS_URL)
  process.stdout.write('The schema is up to date.\n')
})
