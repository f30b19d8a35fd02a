import type { StreamEvent } from '@jobyard/db/stream'
import { expect, it } from 'vitest'
import { eventBody, eventJson } from './event-body.ts'

const at = (second: number) => new Date(Date.UTC(2030, 0, 1, 0, 0, second))
const job = {
  id: 'j',
  type: 'echo',
  queue: 'default',
  status: 'failed',
  tags: ['a'],
  attemptsMade: 2,
  createdAt: at(1),
  startedAt: at(2),
  finishedAt: at(3),
  error: { reason: 'error', message: 'no' },
  output: null,
}
const event: StreamEvent = {
  position: 7,
  id: 'j',
  tenant: 'default',
  type: 'job.failed',
  occurredAt: at(3),
  sequence: 1,
  jobId: 'j',
  job,
  data: null,
}

it('tells ids, type, status, timings, the error and a link', () => {
  expect(eventBody(event)).toEqual({
    type: 'job.failed',
    version: 1,
    timestamp: '2030-01-01T00:00:03.000Z',
    data: {
      id: 'j',
      type: 'echo',
      queue: 'default',
      status: 'failed',
      tags: ['a'],
      attemptsMade: 2,
      createdAt: '2030-01-01T00:00:01.000Z',
      startedAt: '2030-01-01T00:00:02.000Z',
      finishedAt: '2030-01-01T00:00:03.000Z',
      error: { reason: 'error', message: 'no' },
      sequence: 1,
      link: '/v1/jobs/j',
    },
  })
})

it('puts the output in as it is stored, for those who ask', () => {
  const told = { ...event, type: 'job.completed', job: { ...job, error: null, output: '[12345678901234567890]' } }
  expect(eventJson(told, { includeOutput: false })).toBe(JSON.stringify(eventBody(told)))
  const text = eventJson(told, { includeOutput: true })
  expect(text).toContain('"output":[12345678901234567890]')
  expect(JSON.parse(text)).toMatchObject({ type: 'job.completed', data: { id: 'j', output: [expect.any(Number)] } })
})

it('tells how a job ended that is gone', () => {
  expect(eventBody({ ...event, job: null }).data).toEqual({
    id: 'j',
    status: 'failed',
    sequence: 1,
    link: '/v1/jobs/j',
  })
})

it('tells the data of other events, of a job and of none', () => {
  const started = { ...event, type: 'job.started', data: { status: 'running', attempt: 2 } }
  expect(eventBody(started).data).toMatchObject({ id: 'j', type: 'echo', status: 'running', attempt: 2 })
  const disabled = { ...event, type: 'endpoint.disabled', jobId: null, job: null, data: { id: 'e', reason: 'gone' } }
  expect(eventBody(disabled).data).toEqual({ id: 'e', reason: 'gone' })
})
