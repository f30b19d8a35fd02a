import { afterAll, beforeAll, expect, it } from 'vitest'
import { describeOnBothCarriers, startPlatform, type Platform } from '../testing/platform.ts'

describeOnBothCarriers('A platform', (kind) => {
  let platform: Platform
  beforeAll(async () => {
    platform = await startPlatform(kind)
  })
  afterAll(() => platform.stop())

  it('takes a job over HTTP, runs it, and records its result with one event', async () => {
    const { status, headers, body } = await platform.call('POST', '/v1/jobs', { type: 'echo', input: { value: 'hello' } })
    expect(status).toBe(202)
    expect(headers.location).toBe(`/v1/jobs/${body.id}`)
    const job = await platform.ended(body.id)
    expect(job).toMatchObject({ status: 'completed', output: { value: 'hello' }, attemptsMade: 1 })
    const events = await platform.db.sql`select type from outbox where job_id = ${body.id}`
    expect(events.map((event) => event.type)).toEqual(['job.completed'])
  })
})
