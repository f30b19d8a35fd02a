import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openRecord, type TestRecord } from '../testing/record.ts'
import { connect } from './connect.ts'
import { insertEndpoint } from './endpoints.ts'
import { newId } from './ids.ts'
import { lockSequence, placeEvents, placeLimit } from './sequence.ts'
import { positionAt, readJobEvents, readStream, readStreamEnds } from './stream.ts'
import { countReplay } from './subscription.ts'

let record: TestRecord
let sequencer: ReturnType<typeof connect>
beforeAll(async () => {
  record = await openRecord()
  sequencer = connect(record.url, { applicationName: 'sequencer', max: 1 })
  await lockSequence(sequencer.sql)
})
afterAll(async () => {
  await sequencer.close()
  await record.close()
})
beforeEach(async () => {
  await record.sql`truncate jobs, endings, outbox`
  await record.sql`update stream set head = 0, tail = 0`
})

const place = () => placeEvents(sequencer.sql)

/** Ends jobs so many seconds ago. @returns their ids. */
async function end(count: number, secondsAgo = 0, overrides = {}): Promise<string[]> {
  const ids: string[] = []
  for (let each = 0; each < count; each++) {
    const id = await record.addJob(overrides)
    await record.end(id, 'completed', secondsAgo)
    ids.push(id)
  }
  return ids
}

/** Writes an event that does not end a job. */
async function tell(jobId: string | null, sequence = 1, type = 'job.started', secondsAgo = 0): Promise<string> {
  const id = newId()
  await record.sql`
    insert into outbox (id, tenant, job_id, type, occurred_at, data, sequence)
    values (${id}, 'default', ${jobId}, ${type}, now() - ${secondsAgo} * interval '1 second', '{"status":"running"}', ${sequence})`
  await record.sql`update jobs set told = ${sequence} where id = ${jobId}`
  return id
}

/** Ends jobs in one statement, as a settlement does. */
async function endTogether(ids: readonly string[], tenant = 'default'): Promise<void> {
  await record.sql`update jobs set status = 'completed', ticketed_at = null, finished_at = now() where id = any(${ids as string[]}::uuid[])`
  await record.sql`
    insert into endings (queue, tenant, status, ended_at, job_ids, jobs, events)
    values ('default', ${tenant}, 'completed', now(), ${ids as string[]}::uuid[], ${ids.length}, ${ids.length})`
}

describe('The stream', () => {
  it('has every event once, in the order of their time, without a gap', async () => {
    const [second] = await end(1, 20)
    const [first] = await end(1, 30)
    const third = await tell(second!, 1, 'job.started', 10)
    const { held, events, rows } = await place()
    expect({ held, events, rows }).toEqual({ held: true, events: 3, rows: 3 })
    const page = await readStream(record.sql, { after: 0, limit: 10 })
    expect(page.events.map(({ id, position }) => [position, id])).toEqual([
      [1, first],
      [2, second],
      [3, third],
    ])
    expect(page).toMatchObject({ through: 3, head: 3, tail: 0 })
    expect(await place()).toMatchObject({ events: 0 })
  })

  it('has its order also where more events of one kind wait than are placed at once', async () => {
    const [first] = await end(1, 30)
    const [last] = await end(1, 10)
    await record.sql`
      insert into outbox (id, tenant, job_id, type, occurred_at, data, sequence)
      select gen_random_uuid(), 'default', ${last!}::uuid, 'job.progress', now() - interval '20 seconds' + n * interval '1 millisecond', '{}', n
      from generate_series(1, ${placeLimit + 1}) as n`
    expect(await place()).toMatchObject({ rows: placeLimit + 1 })
    expect(await place()).toMatchObject({ rows: 2 })
    expect(await record.sql`select job_ids, position::int from endings order by position`).toEqual([
      { jobIds: [first], position: 1 },
      { jobIds: [last], position: placeLimit + 3 },
    ])
  })

  it('has the jobs of one statement in the order of its list, and reads a part of them', async () => {
    const ids = await Promise.all(Array.from({ length: 5 }, () => record.addJob()))
    await endTogether(ids)
    await end(1)
    await place()
    const page = await readStream(record.sql, { after: 1, limit: 3 })
    expect(page.events.map(({ id, position }) => [position, id])).toEqual([
      [2, ids[1]],
      [3, ids[2]],
      [4, ids[3]],
    ])
    expect(page.through).toBe(4)
  })

  it('has no events of internal jobs, which stay in the list of ended ones', async () => {
    await end(2, 0, { internal: true })
    expect(await place()).toMatchObject({ events: 0 })
    expect(await record.sql`select events, jobs from endings`).toEqual([
      { events: 0, jobs: 1 },
      { events: 0, jobs: 1 },
    ])
  })

  it('tells of the job as it stands, with its output where it is asked for and short enough', async () => {
    const [id] = await end(1, 0, { tags: ['a', 'b'] })
    await record.sql`update jobs set output = '{"big": 12345678901234567890}' where id = ${id!}`
    await place()
    const read = async (outputLimit?: number) =>
      (await readStream(record.sql, { after: 0, limit: 1, outputLimit })).events[0]
    expect(await read()).toMatchObject({
      id,
      jobId: id,
      type: 'job.completed',
      sequence: 1,
      data: null,
      job: { id, type: 'echo', queue: 'default', status: 'completed', tags: ['a', 'b'], output: null },
    })
    expect((await read(100))?.job?.output).toBe('{"big": 12345678901234567890}')
    expect((await read(10))?.job?.output).toBeNull()
    await record.sql`update jobs set output = ${JSON.stringify('€'.repeat(98))}::text::json where id = ${id!}`
    expect((await read(100))?.job?.output).toHaveLength(100)
    await record.sql`update jobs set output = ${JSON.stringify('x'.repeat(100_000))}::text::json where id = ${id!}`
    expect((await read(20_000))?.job?.output).toBeNull()
  })

  it('counts the events of a job', async () => {
    const id = await record.addJob()
    await tell(id, 1)
    await tell(id, 2, 'job.progress')
    await record.end(id, 'failed', 0)
    await place()
    const { events } = await readStream(record.sql, { after: 0, limit: 10 })
    expect(events.map(({ type, sequence }) => [type, sequence])).toEqual([
      ['job.started', 1],
      ['job.progress', 2],
      ['job.failed', 3],
    ])
  })

  it('is read for one job by pages, of some types and with its end', async () => {
    const id = await record.addJob()
    for (let sequence = 1; sequence <= 5; sequence++) {
      await tell(id, sequence, 'job.progress')
      await end(1)
    }
    await tell(id, 6)
    await record.end(id, 'failed', 0)
    const another = await record.addJob()
    await tell(another, 1, 'job.progress')
    await place()
    const ofJob = { tenant: 'default', jobId: id, after: 0, limit: 3, types: ['job.progress', 'job.progress'] }
    const read = (range = {}) => readJobEvents(record.sql, { ...ofJob, ...range })
    const whole = await readStream(record.sql, { after: 0, limit: 20 })
    const wanted = whole.events.filter(({ jobId, type }) => jobId === id && type !== 'job.started')
    expect(wanted.map(({ position }) => position)).toEqual([1, 3, 5, 7, 9, 12])
    expect(await read()).toEqual({ ...whole, events: wanted.slice(0, 3), through: 5 })
    expect(await read({ after: 5 })).toEqual({ ...whole, events: wanted.slice(3), through: 12 })
    expect(await read({ after: 6, limit: 4 })).toEqual({ ...whole, events: wanted.slice(3), through: 13 })
    expect(await read({ after: 12 })).toMatchObject({ events: [], through: 13 })
    expect(await read({ types: [], limit: 1 })).toMatchObject({ events: [{ type: 'job.failed' }], through: 12 })
    expect((await read({ types: ['job.started'] })).events.map(({ position }) => position)).toEqual([11, 12])
    expect(await read({ tenant: 'another' })).toMatchObject({ events: [] })
  })

  it('has nothing left of one job that is gone, and has lost nothing of one that is there', async () => {
    const [id] = await end(1)
    await end(2)
    await place()
    await record.sql`update stream set tail = 2`
    const read = () => readJobEvents(record.sql, { tenant: 'default', jobId: id!, after: 0, limit: 5, types: [] })
    expect(await read()).toMatchObject({ events: [{ id }], through: 3, head: 3, tail: 0 })
    await record.sql`delete from jobs where id = ${id!}`
    expect(await read()).toMatchObject({ events: [], through: 3, head: 3, tail: 3 })
  })

  it('tells why a job has failed, and no detail of it', async () => {
    const id = await record.addJob()
    await record.sql`update jobs set error = '{"reason":"http_status","message":"no","detail":{"much":1}}' where id = ${id}`
    await record.end(id, 'failed', 0)
    await place()
    const { events } = await readStream(record.sql, { after: 0, limit: 1 })
    expect(events[0]?.job?.error).toEqual({ reason: 'http_status', message: 'no' })
  })

  it('tells what is known of an event whose job is gone, and of one that is of no job', async () => {
    const [id] = await end(1, 10)
    await tell(null, 1, 'endpoint.disabled')
    await place()
    await record.sql`delete from jobs`
    const { events } = await readStream(record.sql, { after: 0, limit: 10 })
    expect(events).toMatchObject([
      { id, jobId: id, type: 'job.completed', job: null },
      { jobId: null, type: 'endpoint.disabled', job: null, data: { status: 'running' } },
    ])
  })

  it('is read for one tenant without its neighbours, and goes on all the same', async () => {
    await end(3, 10, { tenant: 'another' })
    const [mine] = await end(1)
    await place()
    const first = await readStream(record.sql, { after: 0, limit: 2, tenant: 'default' })
    expect(first).toMatchObject({ events: [], through: 2 })
    const second = await readStream(record.sql, { after: first.through, limit: 10, tenant: 'default' })
    expect(second).toMatchObject({ events: [{ id: mine, position: 4 }], through: 4 })
  })

  it('is at its end when it is empty', async () => {
    expect(await readStream(record.sql, { after: 0, limit: 10 })).toEqual({
      events: [],
      through: 0,
      head: 0,
      tail: 0,
      timeline: 1,
    })
  })

  it('gives those who commit late a later place', async () => {
    await end(1)
    await place()
    const [late] = await end(1, 30)
    await place()
    const { events } = await readStream(record.sql, { after: 1, limit: 10 })
    expect(events).toMatchObject([{ id: late, position: 2 }])
  })

  it('is found by time, with a minute to spare', async () => {
    await end(4, 600)
    await place()
    const [wanted] = await end(1, 300)
    await end(3)
    await place()
    const at = (secondsAgo: number) => positionAt(record.sql, new Date(Date.now() - secondsAgo * 1_000))
    expect(await at(3_600)).toBe(0)
    expect(await at(310)).toBe(4)
    expect((await readStream(record.sql, { after: await at(310), limit: 1 })).events[0]?.id).toBe(wanted)
    expect(await at(100)).toBe(5)
    expect(await at(-600)).toBe(8)
  })

  it('is found by time also before the last event that was deleted, where those of failed jobs are kept for longer', async () => {
    const [first] = await end(2, 1_000)
    const [last] = await end(1, 500)
    await place()
    await record.sql`delete from endings where position = 2`
    await record.sql`update stream set tail = 2`
    const after = await positionAt(record.sql, new Date(Date.now() - 1_200_000))
    const { events } = await readStream(record.sql, { after, limit: 10 })
    expect(events.map(({ id }) => id)).toEqual([first, last])
  })

  it('is counted for a replay by what the endpoint wants', async () => {
    await end(2, 100, { type: 'wanted' })
    await end(3, 50)
    await place()
    const { head } = await readStreamEnds(record.sql)
    const endpoint = await insertEndpoint(record.sql, {
      id: newId(),
      tenant: 'default',
      url: 'https://example.com',
      description: '',
      events: [],
      jobTypes: ['wanted'],
      tags: [],
      includeOutput: false,
      headers: null,
      secret: 's',
      maxInFlight: 5,
    })
    expect(endpoint.cursor).toBe(head)
    expect(await countReplay(record.sql, endpoint, 0)).toEqual({ events: 2, complete: true })
    expect(await countReplay(record.sql, endpoint, 1)).toEqual({ events: 1, complete: true })
    expect(await countReplay(record.sql, endpoint, 0, 1)).toEqual({ events: 1, complete: false })
  })
})

describe('The lock of the sequence', () => {
  it('is held by one connection, and nobody else places anything', async () => {
    const other = connect(record.url, { applicationName: 'other', max: 1 })
    await end(1)
    expect(await lockSequence(other.sql)).toBe(false)
    expect(await placeEvents(other.sql)).toEqual({ held: false, events: 0, rows: 0, last: null })
    expect(await readStreamEnds(record.sql)).toEqual({ head: 0, tail: 0 })
    await other.close()
  })

  it('does not outlive its connection: the driver connects anew, and places nothing until the lock is taken again', async () => {
    await end(1)
    await record.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sequencer' and datname = current_database()`
    const placeWhenConnected = async () => place().catch(() => undefined)
    let placing = await placeWhenConnected()
    while (!placing) placing = await placeWhenConnected()
    expect(placing).toMatchObject({ held: false, events: 0 })
    expect(await lockSequence(sequencer.sql)).toBe(true)
    expect(await place()).toMatchObject({ held: true, events: 1 })
  })
})
