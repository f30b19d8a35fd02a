const json = 'application/json'

/** Bodies of requests by operation, media type and name. A test sends each of them. */
export const examples: Record<string, Record<string, Record<string, unknown>>> = {
  submitJob: {
    [json]: {
      hello: { type: 'echo', input: { value: 'hello' } },
      later: {
        type: 'echo',
        input: { value: 'hello' },
        delayMs: 60_000,
        priority: 5,
        maxAttempts: 3,
        timeoutMs: 10_000,
        tags: ['greetings'],
        metadata: { customer: 'acme' },
      },
    },
  },
  submitJobs: {
    [json]: {
      two: {
        jobs: [
          { type: 'echo', input: { value: 1 } },
          { type: 'echo', input: { value: 2 }, idempotencyKey: 'greeting-2' },
        ],
      },
    },
    'application/x-ndjson': { line: { type: 'echo', input: { value: 1 }, idempotencyKey: 'line-1' } },
  },
  redriveJobs: {
    [json]: {
      count: { filter: { type: 'echo', tag: 'invoices' }, dryRun: true },
      timedOut: { filter: { reason: 'timed_out', createdAfter: '2026-01-01T00:00:00Z' }, limit: 500 },
    },
  },
  createApiKey: {
    [json]: {
      service: { name: 'checkout service', role: 'submitter' },
      visitor: { name: 'auditor until summer', role: 'reader', expiresAt: '2099-06-01T00:00:00Z' },
    },
  },
  createEndpoint: {
    [json]: {
      failures: {
        url: 'https://example.com/hooks/jobyard',
        description: 'Tells us what failed',
        events: ['job.failed'],
        tags: ['invoices'],
      },
    },
  },
  changeEndpoint: { [json]: { fewer: { events: ['job.failed'], maxInFlight: 10 } } },
  rotateEndpointSecret: { [json]: { hour: { overlapMs: 3_600_000 } } },
  replayEndpoint: { [json]: { count: { since: '2026-01-01T00:00:00Z', dryRun: true } } },
  redeliverMany: { [json]: { count: { status: 'failed', since: '2026-01-01T00:00:00Z', dryRun: true } } },
  putSchedule: {
    [json]: {
      weekdays: {
        type: 'echo',
        input: { value: 'good morning' },
        cron: '30 8 * * 1-5',
        timeZone: 'Europe/Paris',
        missed: 'once',
        overlap: 'skip',
      },
      hourly: { type: 'echo', input: { value: 'tick' }, everyMs: 3_600_000 },
    },
  },
  previewSchedule: { [json]: { weekdays: { cron: '30 8 * * 1-5', timeZone: 'Europe/Paris', count: 3 } } },
}
