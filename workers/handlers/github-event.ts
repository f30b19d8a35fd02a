import { githubEvent as contract } from '@jobyard/queues/contracts/github-event'
import type { z } from 'zod'
import { defineHandler } from '../define-handler.ts'

/** Stands in the place of a repository where an event belongs to none, and to no account either. */
const noRepository = '(none)'

/** Counts webhooks of GitHub per repository and event, in the transaction that settles the job: each once. */
export const githubEvent = defineHandler(contract, async (input, ctx) => {
  const { repository, action, event } = describeGithubEvent(input)
  return ctx.transaction(async (sql) => {
    await sql`
      insert into github_activity as known (tenant, repository, event, events, last_action, last_event_at)
      values (${ctx.tenant}, ${repository}, ${event}, 1, ${action ?? null}, now())
      on conflict (tenant, repository, event) do update
      set events = known.events + 1, last_action = excluded.last_action, last_event_at = excluded.last_event_at`
    return action === undefined ? { repository } : { repository, action }
  })
})

/**
 * Says what a webhook is about. Nothing in the payload is trusted: names that GitHub would not give are passed over.
 *
 * @returns `repository` as `owner/name`, or the login of the organization, or of the account on which an app was
 *   installed, or `(none)`; `action` where the event has one; the event's name.
 */
export function describeGithubEvent({ event, payload }: z.output<typeof contract.input>): {
  repository: string
  action?: string
  event: string
} {
  const repository =
    nameAt(payload, 'repository', 'full_name') ??
    nameAt(payload, 'organization', 'login') ??
    nameAt(payload, 'installation', 'account', 'login') ??
    noRepository
  const action = nameAt(payload, 'action')
  return action === undefined ? { repository, event } : { repository, action, event }
}

function nameAt(payload: unknown, ...path: string[]): string | undefined {
  const found = path.reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), payload)
  return typeof found === 'string' && /^[\w.-]{1,100}(\/[\w.-]{1,100})?$/.test(found) ? found : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
