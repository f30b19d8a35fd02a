import { githubEvent as contract } from '@jobyard/queues/contracts/github-event'
import type { z } from 'zod'
import { defineBatchHandler } from '../define-handler.ts'

/** Stands in the place of a repository where an event belongs to none, and to no account either. */
const noRepository = '(none)'

/** Counts webhooks of GitHub per repository and event, in the transaction that settles their jobs: each once. */
export const githubEvent = defineBatchHandler(contract, async (_batch, ctx) =>
  ctx.transaction(async (sql, jobs) => {
    const events = jobs.map(({ jobId, tenant, input }) => ({ jobId, tenant, ...describeGithubEvent(input) }))
    await sql`
      insert into github_activity as known (tenant, repository, event, events, last_action, last_event_at)
      select tenant, repository, event, events, last_action, now()
      from json_to_recordset(${JSON.stringify(addUp(events))}::text::json)
        as gained (tenant text, repository text, event text, events bigint, last_action text)
      on conflict (tenant, repository, event) do update set events = known.events + excluded.events,
        last_action = excluded.last_action, last_event_at = excluded.last_event_at`
    return events.map(({ repository, action }) => (action === undefined ? { repository } : { repository, action }))
  }),
)

type DescribedEvent = ReturnType<typeof describeGithubEvent> & { readonly jobId: string; readonly tenant: string }

/**
 * Adds up the events of a batch.
 *
 * @returns what each row gains, and its last action by the age of the jobs. Rows are in one order whatever the batch, so that
 *   two batches never wait for each other.
 */
function addUp(events: readonly DescribedEvent[]): object[] {
  const rows = new Map<
    string,
    { tenant: string; repository: string; event: string; events: number; last_action?: string }
  >()
  for (const { tenant, repository, event, action } of events.toSorted((a, b) => (a.jobId < b.jobId ? -1 : 1))) {
    const key = `${tenant} ${repository} ${event}`
    const count = (rows.get(key)?.events ?? 0) + 1
    rows.set(key, { tenant, repository, event, events: count, ...(action !== undefined && { last_action: action }) })
  }
  return [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

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
