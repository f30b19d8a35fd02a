import { describe, expect, it } from 'vitest'
import { compare, type Evidence } from './agreement.ts'
import type { PlannedJob } from './plan.ts'
import type { RecordedJob } from './record.ts'

const planned: Record<string, PlannedJob> = {
  fine: { type: 'echo', input: {}, retries: 1 },
  doomed: { type: 'echo', input: {}, failsWith: 'error' },
  order: { type: 'http.request', input: {}, order: { number: 1, body: 'one' } },
  mail: { type: 'email.send', input: {}, mail: { to: 'ada@example.com', subject: 'Hi', text: 'Ada' } },
  thumbnail: { type: 'image.thumbnail', input: {}, thumbnail: { width: 4, height: 3, format: 'webp' } },
  github: { type: 'github.event', input: {}, repository: 'a/b' },
}

const at = new Date('2026-11-21T00:00:00Z')
const row = (id: string, more: Partial<RecordedJob> = {}): RecordedJob => ({
  id,
  type: planned[id]?.type ?? '',
  status: 'completed',
  attemptsMade: 1,
  createdAt: at,
  finishedAt: at,
  reason: null,
  repository: null,
  ...more,
})

const told = Object.keys(planned).map((jobId) => ({
  jobId,
  type: jobId === 'doomed' ? 'job.failed' : 'job.completed',
}))

const tick = (ms: number) => ({ at: new Date(ms), outcome: 'fired', jobId: `tick ${ms}`, status: 'completed' })

const agreeing: Evidence = {
  planned: Object.values(planned),
  submitted: { accepted: new Map(Object.entries(planned)), repeated: 1, repeatedWrongly: 0, tookMs: 1 },
  jobs: [
    row('fine', { attemptsMade: 2 }),
    row('doomed', { status: 'failed', reason: 'error' }),
    row('order', { attemptsMade: 2 }),
    row('mail'),
    row('thumbnail'),
    row('github', { repository: 'a/b' }),
  ],
  events: told,
  webhooks: told,
  disbelieved: [],
  streamed: told.map((event, at) => ({ ...event, position: at + 1, jobType: '', reason: undefined })),
  requests: [
    { number: 1, body: 'one', status: 503 },
    { number: 1, body: 'one', status: 200 },
  ],
  mails: [
    {
      recipients: ['ada@example.com'],
      headers: new Map([
        ['to', 'ada@example.com'],
        ['subject', 'Hi'],
      ]),
      text: 'Ada',
    },
  ],
  thumbnails: new Map([['thumbnail', { width: 4, height: 3, format: 'webp' }]]),
  activity: [{ repository: 'a/b', counted: 1, completed: 1 }],
  scheduled: [tick(0), tick(1_000)],
}

const changed = (id: string, more: Partial<RecordedJob>) =>
  agreeing.jobs.map((job) => (job.id === id ? { ...job, ...more } : job))

const disagreements = (more: Partial<Evidence>) =>
  compare({ ...agreeing, ...more }).flatMap(({ disagreements: lines }) => lines)

it('a run in which all is well has no disagreement', () => {
  expect(disagreements({})).toEqual([])
})

const wrong = [...told, { jobId: 'mail', type: 'job.failed' }]
const twice = [...agreeing.streamed, ...agreeing.streamed.slice(0, 1)]

it('a webhook that came again is none', () => {
  expect(disagreements({ webhooks: [...told, ...told] })).toEqual([])
})

describe('a disagreement is named when', () => {
  it.each<[string, Partial<Evidence>, RegExp]>([
    ['a job was lost', { jobs: agreeing.jobs.slice(1) }, /accepted, but not in the record: fine/],
    ['a job was never accepted', { jobs: [...agreeing.jobs, row('stranger')] }, /never accepted: stranger/],
    ['a job has not ended', { jobs: changed('mail', { status: 'running', finishedAt: null }) }, /not ended: mail/],
    ['an event is missing', { events: agreeing.events.slice(1) }, /events in the outbox differ: 6 and 5/],
    ['a job ended twice', { events: [...agreeing.events, ...agreeing.events.slice(0, 1)] }, /more than one.*: fine/],
    ['an event names another end', { events: [{ jobId: 'mail', type: 'job.failed' }] }, /contradicts the status: mail/],
    [
      'a job failed',
      { jobs: changed('mail', { status: 'failed', reason: 'x' }) },
      /mail: should be completed, is failed/,
    ],
    ['a job should have failed', { jobs: changed('doomed', { status: 'completed' }) }, /should be failed \(error\)/],
    ['a job was not retried', { jobs: changed('fine', { attemptsMade: 1 }) }, /fine: needs 2 attempts, had 1/],
    ['a repeated post made a job', { submitted: { ...agreeing.submitted, repeatedWrongly: 1 } }, /named another job/],
    ['a webhook is missing', { webhooks: told.slice(1) }, /^1 not told by webhook: fine$/],
    ['a signature is wrong', { disbelieved: ['No match'] }, /^1 webhooks with a wrong signature: No match$/],
    ['a webhook tells another end', { webhooks: wrong }, /^1 told otherwise by webhook than recorded: mail$/],
    ['the stream left a job out', { streamed: agreeing.streamed.slice(1) }, /not told by GET \/v1\/events: fine/],
    ['the stream told a job twice', { streamed: twice }, /told more than once by GET \/v1\/events: fine/],
    ['the stream is out of order', { streamed: agreeing.streamed.toReversed() }, /out of order.*: 5, 4, 3, 2, 1$/],
    ['a request is missing', { requests: agreeing.requests.slice(1) }, /requests received differ: 2 and 1/],
    ['a mail came twice', { mails: [...agreeing.mails, ...agreeing.mails] }, /to ada@example.com is missing, doubled/],
    ['a thumbnail cannot be read', { thumbnails: new Map([['thumbnail', 'broken']]) }, /cannot be read: broken/],
    [
      'a thumbnail has another size',
      { thumbnails: new Map([['thumbnail', { width: 5, height: 3, format: 'webp' }]]) },
      /asked for 4 × 3 webp, got 5 × 3 webp/,
    ],
    [
      'an event was counted twice',
      { activity: [{ repository: 'a/b', counted: 2, completed: 1 }] },
      /a\/b differ: 1 and 2/,
    ],
    ['a schedule has not fired', { scheduled: [] }, /the schedule of every second has not fired/],
    ['an occurrence was left out', { scheduled: [tick(0), tick(2_000)] }, /00:02.000Z does not come a second after/],
    ['an occurrence was fired twice', { scheduled: [tick(0), tick(0)] }, /more than one occurrence: tick 0/],
    ['a job of a schedule failed', { scheduled: [{ ...tick(0), status: 'failed' }] }, /fired, its job is failed/],
    ['a repository was misread', { jobs: changed('github', { repository: 'a/c' }) }, /names a\/b, its output a\/c/],
  ])('%s', (_, more, line) => {
    expect(disagreements(more).join('\n')).toMatch(line)
  })
})

it('of many ids only a few are named', () => {
  const strangers = Array.from({ length: 20 }, (_, index) => row(`stranger${index}`))
  const lines = disagreements({ jobs: [...agreeing.jobs, ...strangers] })
  expect(lines.find((line) => line.includes('never accepted'))).toMatch(/^20 .* and 15 more$/)
})
