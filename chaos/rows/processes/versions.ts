import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import { migrateAll } from '@jobyard/queues/migrate'
import { ordinaryWish } from '../../load/wishes.ts'
import type { Member } from '../../stage/crew.ts'
import { findSchemaCommits, unpackFirstWhole } from '../../stage/earlier-version.ts'
import type { Trial } from '../trial.ts'

const jobsBetween = 300

export const versions: readonly Trial[] = [
  {
    row: 27,
    name: 'the first version with this schema and the present one work side by side',
    run: async (context) => {
      const stage = await context.stage({ apis: 1, workers: 1 })
      const { since } = await findSchemaCommits()
      const old = await unpackFirstWhole(since, join(stage.folder, 'earlier'))
      const client = context.client(stage, { wish: ordinaryWish, jobsPerSecond: 100 })
      client.start()
      await context.ledger.accepts(jobsBetween)
      const earlier = [stage.enlist('api', {}, old.programs), stage.enlist('workers', {}, old.programs)]
      context.injected('version put beside another', old.commit)
      await Promise.all(earlier.map((member) => member.start()))
      await context.ledger.accepts(jobsBetween)
      await stage.workers[0]?.kill()
      await context.ledger.accepts(jobsBetween)
      await earlier[1]?.kill()
      await migrateAll(stage.postgres.url)
      await context.ledger.accepts(jobsBetween)
      await retireAll(earlier)
      await context.endWell(stage)
    },
  },
  {
    row: 27,
    name: 'the schema is migrated while nothing runs, after a worker was killed and others handed back',
    run: async (context) => {
      const { before } = await findSchemaCommits()
      const stage = await context.stage({ apis: 0, workers: 0, migrate: false })
      const old = await unpackFirstWhole(before, join(stage.folder, 'earlier'))
      await old.migrate(stage.postgres.url)
      const earlier = [
        stage.enlist('api', {}, old.programs),
        ...[1, 2].map(() => stage.enlist('workers', { SHUTDOWN_GRACE_MS: '100' }, old.programs)),
      ]
      await Promise.all(earlier.map((member) => member.start()))
      const client = context.client(stage, { wish: ordinaryWish, jobsPerSecond: 200 })
      client.start()
      await context.ledger.accepts(jobsBetween)
      const [api, killed, leaving] = earlier
      await killed?.retire('SIGKILL')
      await delay(200)
      await retireAll([leaving, api])
      context.injected('schema migrated', `from that of ${old.commit}`)
      await migrateAll(stage.postgres.url)
      await Promise.all([stage.enlist('api').start(), stage.enlist('workers').start()])
      await context.ledger.accepts(jobsBetween)
      await context.endWell(stage)
    },
  },
]

/** How they end is not judged: what is wrong there is mended here. */
async function retireAll(members: readonly (Member | undefined)[]): Promise<void> {
  for (const member of members) await member?.retire('SIGTERM')
}
