import { readStream } from '@jobyard/db/stream'
import { Webhook } from 'standardwebhooks'
import { expect, it, onTestFinished } from 'vitest'
import { addEndpoint } from '../testing/endpoints.ts'
import { adminKey } from '../testing/platform.ts'
import { callApi, openProcessPlatform } from '../testing/processes.ts'
import { startReceiver } from '../testing/receiver.ts'

const jobs = 400

it('Every event reaches every endpoint, signed and with its id, though processes are killed that place, relay and deliver', async () => {
  const platform = await openProcessPlatform('postgres')
  onTestFinished(() => platform.stop())
  const { sql } = platform.db
  const receivers = [await startReceiver(), await startReceiver()]
  const OUTBOUND_ALLOW = receivers.map(({ host }) => host).join(',')
  const startWorkers = () => platform.start('workers', { OUTBOUND_ALLOW, WORKER_CONCURRENCY: '5' })
  const api = await platform.start('api')
  let workers = [await startWorkers(), await startWorkers()]
  const secrets = await Promise.all(
    receivers.map(async ({ url }) => (await addEndpoint(sql, { url }, adminKey)).secret),
  )
  const batch = Array.from({ length: jobs }, (_, value) => ({ type: 'echo', input: { value } }))
  const { body } = await callApi(api.url!, 'POST', '/v1/jobs/batch', { jobs: batch })
  const ids = (body.items as { id: string }[]).map(({ id }) => id)
  const received = () =>
    receivers.map((each) => new Set(each.received.map(({ headers }) => headers['webhook-id'])).size)
  for (const progress of [0.1, 0.4, 0.7]) {
    await expect.poll(() => Math.min(...received()), { timeout: 40_000 }).toBeGreaterThan(jobs * progress)
    const [victim, ...others] = workers
    await victim!.kill()
    workers = [...others, await startWorkers()]
  }
  await expect.poll(received, { timeout: 60_000, interval: 200 }).toEqual([jobs, jobs])
  for (const [index, receiver] of receivers.entries()) {
    for (const { headers, body: sent } of receiver.received) {
      const event = new Webhook(secrets[index]!).verify(sent, headers as Record<string, string>)
      expect(event).toMatchObject({ type: 'job.completed', data: { id: headers['webhook-id'] } })
    }
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id']))).toEqual(new Set(ids))
  }
  const { events, head } = await readStream(sql, { after: 0, limit: 2 * jobs })
  expect(head).toBe(jobs)
  expect(events.map(({ position }) => position)).toEqual(Array.from({ length: jobs }, (_, index) => index + 1))
  expect(new Set(events.map(({ id }) => id))).toEqual(new Set(ids))
}, 150_000)
