import { afterAll, beforeAll, expect, it } from 'vitest'
import { startPlatform, type Platform } from '../../testing/platform.ts'
import { githubEvent } from './github-event.ts'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform('postgres', { handlers: [githubEvent] })
})
afterAll(() => platform.stop())

const push = (repository: string, action?: string) =>
  platform.run('github.event', { event: 'issues', payload: { action, repository: { full_name: repository } } })

it('counts each event of a repository once, in the transaction that completes the job', async () => {
  const jobs = await Promise.all([push('a/one', 'opened'), push('a/one', 'opened'), push('a/two')])
  expect(jobs.map(({ output }) => output)).toEqual([
    { repository: 'a/one', action: 'opened' },
    { repository: 'a/one', action: 'opened' },
    { repository: 'a/two' },
  ])
  const rows = await platform.db
    .sql`select repository, event, events::int, last_action from github_activity order by repository`
  expect(rows).toEqual([
    { repository: 'a/one', event: 'issues', events: 2, lastAction: 'opened' },
    { repository: 'a/two', event: 'issues', events: 1, lastAction: null },
  ])
})

it('counts nothing for a job that was not completed', async () => {
  const [before] = await platform.db.sql`select sum(events)::int as events from github_activity`
  const job = await platform.run(
    'github.event',
    { event: 'issues', payload: { repository: { full_name: 'a/one' } } },
    { timeoutMs: 1, maxAttempts: 1 },
  )
  const [after] = await platform.db.sql`select sum(events)::int as events from github_activity`
  expect(after?.events).toBe(before?.events + (job.status === 'completed' ? 1 : 0))
})
