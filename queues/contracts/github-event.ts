import { z } from 'zod'
import { defineJob } from '../define-job.ts'

/** A webhook of GitHub, counted. */
export const githubEvent = defineJob({
  type: 'github.event',
  queue: 'github',
  batch: { size: 100 },
  description:
    'Takes a webhook of GitHub and counts it, exactly once, per repository and event in the table github_activity. ' +
    'For an event that belongs to no repository, `repository` is the login of its organization, else of the account ' +
    'on which an app was installed, else "(none)".',
  input: z.strictObject({
    event: z
      .string()
      .regex(/^[a-z0-9_]{1,100}$/)
      .describe('The header X-GitHub-Event.'),
    delivery: z.string().min(1).max(100).optional().describe('The header X-GitHub-Delivery.'),
    payload: z.record(z.string(), z.unknown()).describe('The body of the webhook.'),
  }),
  output: z.strictObject({
    repository: z.string(),
    action: z.string().optional(),
  }),
})
