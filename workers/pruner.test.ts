import { insertAuditEntries } from '@jobyard/db/audit-log'
import { newId } from '@jobyard/db/ids'
import { readClock } from '@jobyard/db/clock'
import { disableEndpoint } from '@jobyard/db/endpoints'
import { ensureQueues } from '@jobyard/db/queue-rows'
import { readStream, readStreamEnds } from '@jobyard/db/stream'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { addEndpoint } from '../testing/endpoints.ts'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { Pruner } from './pruner.ts'
import { SteadyClock } from './steady-clock.ts'

const log = pino({ level: 'silent' })
let record: TestRecord
beforeAll(async () => {
  record = await openRecord()
})
beforeEach(() => record.sql`truncate arrivals, workers, jobs, claims, endings`)
afterAll(() => record.close())

describe('The pruner', () => {
  const retention = { completedMs: 1_000, failedMs: 100_000, eventsMs: 1_000, auditMs: 1_000 }
  const clock = { isSteady: async () => true }
  beforeEach(() => record.sql`truncate endpoints, deliveries, outbox`)

  it('deletes entries of the audit log by their age', async () => {
    const entry = { tenant: 't', actor: 'admin', action: 'a', target: '', address: '::1' }
    const [old, young] = [newId(), newId()]
    await insertAuditEntries(record.sql, [
      { id: old, ...entry },
      { id: young, ...entry },
    ])
    await record.sql`update audit_log set asked_at = asked_at - interval '2 s' where id = ${old}`
    await new Pruner(record.sql, { ...retention, auditMs: 1_500 }, clock).runOnce()
    expect((await record.sql`select id from audit_log`).map(({ id }) => id)).toEqual([young])
  })

  it('deletes what is past its retention, with attempts and events, and nothing that lives', async () => {
    const [old, young, failed, live] = [
      await record.addJob(),
      await record.addJob(),
      await record.addJob(),
      await record.addJob(),
    ]
    await record.end(old, 'completed', 60)
    await record.end(young, 'completed', 0)
    await record.end(failed, 'failed', 60)
    await record.sql`update jobs set created_at = created_at - interval '10 years'`
    await record.place()
    await record.sql`insert into attempts (job_id, epoch, tenant, attempt, outcome, started_at, finished_at) values (${old}, 1, 't', 1, 'failed', now(), now())`
    expect(await new Pruner(record.sql, retention, clock).runOnce()).toBe(false)
    const left = await record.sql<{ id: string }[]>`select id from jobs`
    expect(left.map(({ id }) => id).toSorted()).toEqual([young, failed, live].toSorted())
    expect(await record.attempts(old)).toEqual([])
    expect(await record.events(old)).toEqual([])
  })

  it('deletes nothing whose event has no place yet, or is still before an enabled endpoint of its tenant', async () => {
    const prune = () => new Pruner(record.sql, retention, clock).runOnce()
    const left = async () => (await record.sql<{ id: string }[]>`select id from jobs order by id`).map(({ id }) => id)
    const ids = [await record.addJob(), await record.addJob(), await record.addJob({ tenant: 'another' })]
    for (const [index, id] of ids.entries()) await record.end(id, 'completed', 60 - index)
    const internal = await record.addJob({ internal: true })
    await record.end(internal, 'completed', 60)
    await prune()
    expect(await left()).toEqual(ids)
    await record.sql`update stream set head = 0, tail = 0`
    const { endpoint } = await addEndpoint(record.sql)
    const move = async (cursor: number, replayCursor: number | null = null) =>
      void (await record.sql`update endpoints set cursor = ${cursor}, replay_cursor = ${replayCursor}`)
    await record.place()
    await prune()
    expect(await left()).toEqual(ids.slice(0, 2))
    expect(await readStreamEnds(record.sql)).toEqual({ head: 3, tail: 3 })
    await move(2, 1)
    await prune()
    expect(await left()).toEqual(ids.slice(1, 2))
    await disableEndpoint(record.sql, 'default', endpoint.id)
    await prune()
    expect(await left()).toEqual([])
  })

  it('keeps nothing for longer than a week because an endpoint has not got it', async () => {
    await record.sql`update stream set head = 0, tail = 0`
    await addEndpoint(record.sql)
    const [old, young] = [await record.addJob(), await record.addJob()]
    await record.end(old, 'completed', 7 * 86_400 + 60)
    await record.end(young, 'completed', 7 * 86_400 - 60)
    await record.sql`
      insert into outbox (id, tenant, type, occurred_at, data, sequence)
      select gen_random_uuid(), 'default', type, now() - days * interval '1 day', '{}', 1
      from (values ('endpoint.disabled', 8), ('schedule.missed', 6)) as event (type, days)`
    await record.place()
    await new Pruner(record.sql, retention, clock).runOnce()
    expect(await record.sql`select id from jobs`).toEqual([{ id: young }])
    expect(await record.sql`select type from outbox where data is not null`).toEqual([{ type: 'schedule.missed' }])
    expect(await readStreamEnds(record.sql)).toEqual({ head: 4, tail: 2 })
  })

  it('deletes from all other queues what it can when one fails', async () => {
    const [bad, good] = [await record.addJob({ queue: 'bad' }), await record.addJob({ queue: 'good' })]
    await ensureQueues(record.sql, ['bad', 'good'])
    for (const id of [bad, good]) await record.end(id, 'completed', 60)
    await record.place()
    await record.sql.unsafe(`
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
      create trigger refuse before delete on jobs for each row when (old.queue = 'bad') execute function refuse()`)
    onTestFinished(async () => void (await record.sql.unsafe('drop function refuse cascade')))
    await expect(new Pruner(record.sql, retention, clock).runOnce()).rejects.toMatchObject({
      errors: [{ message: 'no' }],
    })
    expect(await record.sql`select id from jobs`).toEqual([{ id: bad }])
  })

  it('deletes deliveries with their jobs, and the other events of a job with it', async () => {
    const [id, delivery] = [await record.addJob(), await record.addJob({ internal: true })]
    await record.sql`
      insert into deliveries (job_id, tenant, endpoint_id, event_id, event_type, created_at)
      values (${delivery}, 'default', ${newId()}, ${id}, 'job.completed', now())`
    await record.sql`
      insert into outbox (id, tenant, job_id, type, occurred_at, data, sequence)
      values (${newId()}, 'default', ${id}, 'job.started', now(), '{}', 1)`
    await record.end(id, 'completed', 60)
    await record.end(delivery, 'completed', 60)
    await record.place()
    await new Pruner(record.sql, retention, clock).runOnce()
    expect(await record.sql`select from deliveries`).toHaveLength(0)
    expect(await record.sql`select from outbox`).toHaveLength(0)
  })

  it('deletes events that are of no job by their age', async () => {
    await record.sql`
      insert into outbox (id, tenant, type, occurred_at, data, sequence)
      select gen_random_uuid(), 'default', type, now() - ago * interval '1 second', '{}', 1
      from (values ('endpoint.disabled', 60), ('schedule.missed', 0)) as event (type, ago)`
    await record.place()
    await new Pruner(record.sql, retention, clock).runOnce()
    expect(await record.sql`select type from outbox`).toEqual([{ type: 'schedule.missed' }])
  })

  it('keeps events for longer than their jobs where that is asked for', async () => {
    const id = await record.addJob()
    await record.end(id, 'completed', 60)
    await record.place()
    await new Pruner(record.sql, { ...retention, eventsMs: 100_000 }, clock).runOnce()
    await expect(record.job(id)).rejects.toThrow('no job')
    const { head } = await readStreamEnds(record.sql)
    const { events } = await readStream(record.sql, { after: head - 1, limit: 1 })
    expect(events).toMatchObject([{ id, type: 'job.completed', job: null }])
    await record.sql`update endings set ended_at = now() - interval '200 seconds'`
    await new Pruner(record.sql, { ...retention, eventsMs: 100_000 }, clock).runOnce()
    expect(await readStreamEnds(record.sql)).toEqual({ head, tail: head })
    expect(await record.sql`select from outbox`).toHaveLength(0)
  })

  it('keeps idempotency keys for a week longer than any job that has ended, and while their job is there', async () => {
    const keyed = (key: string) => record.addJob({ idempotency: { key, requestHash: 'x' } })
    const [gone, young, ended, live] = [await keyed('a'), await keyed('b'), await keyed('c'), await keyed('d')]
    await record.end(ended, 'failed', 0)
    await record.sql`delete from jobs where id in (${gone}, ${young})`
    await record.sql`
      update idempotency_keys set created_at = created_at - interval '7 days' - case when job_id = ${young} then 90 else 110 end * interval '1 second'`
    await new Pruner(record.sql, retention, clock).runOnce()
    const left = await record.sql`select job_id from idempotency_keys order by key`
    expect(left.map((row) => row.jobId)).toEqual([young, ended, live])
  })

  it('deletes nothing while the clock of Postgres is not to be believed', async () => {
    const id = await record.addJob()
    await record.end(id, 'completed', 60)
    await record.place()
    let aheadMs = 365 * 86_400_000
    const steady = new SteadyClock({ read: async () => (await readClock(record.sql)) + aheadMs, log })
    const pruner = new Pruner(record.sql, retention, steady)
    expect(await pruner.runOnce()).toBe(false)
    expect((await record.job(id)).status).toBe('completed')
    aheadMs = 0
    await pruner.runOnce()
    await expect(record.job(id)).rejects.toThrow('no job')
  })

  it('says when there may be more', async () => {
    const id = await record.addJob()
    await record.end(id, 'completed', 60)
    await record.sql`
      with copies as (
        insert into jobs (id, tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms, created_at, finished_at)
        select gen_random_uuid(), tenant, type, queue, status, priority, input, metadata, tags, internal, max_attempts, timeout_ms, created_at, finished_at
        from jobs, generate_series(1, 1500)
        returning id, queue, tenant, status, finished_at
      )
      insert into endings (queue, tenant, status, ended_at, job_ids, jobs, events)
      select queue, tenant, status, finished_at, array[id], 1, 1 from copies`
    await record.place()
    const pruner = new Pruner(record.sql, retention, clock)
    expect([await pruner.runOnce(), await pruner.runOnce()]).toEqual([true, false])
    expect(await record.sql`select from jobs`).toHaveLength(0)
  })
})
