import { execFile } from 'node:child_process'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@jobyard/db/embedded'
import { migrateAll } from '@jobyard/queues/migrate'
import { expect, it, onTestFinished } from 'vitest'
import { openEventStream } from '../../testing/event-stream.ts'
import { listenOn } from '../../testing/listening-api.ts'
import { openRecord } from '../../testing/record.ts'
import { makeFolder } from '../../testing/walkthrough.ts'

const patient = { timeout: 20_000 }
const run = promisify(execFile)

/** A Postgres that can fail over to a standby which has fallen behind. */
async function openPair() {
  const home = await makeFolder()
  const start = (settings: Record<string, string> = {}) =>
    startEmbeddedPostgres({ home, settings, initdbArgs: ['--no-sync'] })
  let primary: EmbeddedPostgres = await start()
  const standby = `${primary.dataFolder}.standby`
  onTestFinished(async () => {
    await primary.stop()
    await rm(home, { recursive: true, force: true })
  })
  await migrateAll(primary.url)
  return {
    url: () => primary.url,
    /** The standby has all that there is now, and nothing that comes after. */
    fallBehind: async () => {
      await primary.stop()
      await run('cp', ['-a', primary.dataFolder, standby])
      primary = await start()
    },
    failOver: async () => {
      await primary.stop()
      await rm(primary.dataFolder, { recursive: true })
      await rename(standby, primary.dataFolder)
      await writeFile(join(primary.dataFolder, 'recovery.signal'), '')
      primary = await start({ restore_command: 'false' })
    },
  }
}

it('A stream tells that a standby took over which lacks what was told, live and on resuming, and then goes on', async () => {
  const pair = await openPair()
  await pair.fallBehind()
  const record = await openRecord({ url: pair.url(), drop: async () => {} })
  onTestFinished(() => record.db.close())
  const end = async () => {
    const id = await record.addJob()
    await record.end(id, 'completed', 0)
    await record.place()
    return id
  }
  const { port } = await listenOn(record.db, pair.url())
  const live = await openEventStream(port, '/v1/events')
  onTestFinished(() => live.close())
  const lost = [await end(), await end()]
  await expect.poll(() => live.messages.map(({ data }) => data.data?.id), patient).toEqual(lost)

  await pair.failOver()
  await expect.poll(() => live.messages.length, patient).toBe(3)
  expect(live.messages[2]).toEqual({ id: '0-2', event: 'reset', data: { reason: 'failover' } })
  const next = [await end(), await end(), await end()]
  await expect.poll(() => live.messages.slice(3).map(({ data }) => data.data?.id), patient).toEqual(next)
  expect(live.messages.slice(3).map(({ id }) => id)).toEqual(['1-2', '2-2', '3-2'])

  const resumed = await openEventStream(port, '/v1/events', { 'last-event-id': '2' })
  onTestFinished(() => resumed.close())
  await expect.poll(() => resumed.messages.length, patient).toBe(2)
  expect(resumed.messages[0]).toEqual({ id: '2-2', event: 'reset', data: { reason: 'failover' } })
  expect(resumed.messages[1]?.data.data.id).toBe(next[2])
  const unharmed = await openEventStream(port, '/v1/events', { 'last-event-id': '2-2' })
  onTestFinished(() => unharmed.close())
  await expect.poll(() => unharmed.messages.map(({ data }) => data.data?.id), patient).toEqual([next[2]])
}, 120_000)
