import { afterEach, describe, expect, it } from 'vitest'
import { carrierKinds } from '../testing/platform.ts'
import { callApi, openProcessPlatform, type ProcessPlatform } from '../testing/processes.ts'
import { expectEachEndedOnce } from './oracle.ts'

let platform: ProcessPlatform
afterEach(() => platform.stop())

describe.each(carrierKinds)('On %s, every accepted job ends once', (kind) => {
  it('when workers are asked to stop, and hand back what they cannot finish', async () => {
    platform = await openProcessPlatform(kind)
    const api = await platform.start('api')
    const leaving = await platform.start('workers', { SHUTDOWN_GRACE_MS: '200' })
    const long = await callApi(api.url!, 'POST', '/v1/jobs', { type: 'echo', input: { value: 'long', sleepMs: 3_000 } })
    const short = await callApi(api.url!, 'POST', '/v1/jobs', { type: 'echo', input: { value: 'short', sleepMs: 50 } })
    await started(long.body.id)
    expect(await leaving.stop()).toBe(0)
    const [owned] = await platform.db.sql`select count(*)::int as n from jobs where status = 'running'`
    expect(owned?.n).toBe(0)
    expect(await platform.db.sql`select from workers`).toHaveLength(0)
    await platform.start('workers')
    await expectEachEndedOnce(platform.db, [long.body.id, short.body.id])
    const { body } = await callApi(api.url!, 'GET', `/v1/jobs/${long.body.id}`)
    expect(body.attempts).toMatchObject([{ outcome: 'handed_back' }, { outcome: 'completed' }])
  }, 60_000)
})

async function started(id: string): Promise<void> {
  for (;;) {
    const [row] = await platform.db.sql`select status from jobs where id = ${id}`
    if (row?.status === 'running') return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
