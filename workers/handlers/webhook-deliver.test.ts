import { setTimeout as delay } from 'node:timers/promises'
import { heldUp } from '@jobyard/db/behind'
import { connect } from '@jobyard/db/connect'
import { readForDelivery } from '@jobyard/db/endpoint-health'
import { deleteEndpoint, disableEndpoint, rotateSecret, updateEndpoint, type NewEndpoint } from '@jobyard/db/endpoints'
import { newId } from '@jobyard/db/ids'
import { parseAllowList } from '@jobyard/outbound/address-rules'
import { createGuardedFetch, type GuardedFetchOptions } from '@jobyard/outbound/guarded-fetch'
import type { DeliveryInput } from '@jobyard/queues/contracts/webhook-deliver'
import { SecretBox } from '@jobyard/queues/secret-box'
import { newWebhookSecret } from '@jobyard/queues/webhook-signature'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { addEndpoint, secretOfTests } from '../../testing/endpoints.ts'
import { handlerContext } from '../../testing/handler-context.ts'
import { startReceiver, type Received, type Receiver } from '../../testing/receiver.ts'
import { openRecord, type TestRecord } from '../../testing/record.ts'
import type { HandlerContext } from '../define-handler.ts'
import { webhookDeliver } from './webhook-deliver.ts'

const secrets = new SecretBox(secretOfTests)
const body = JSON.stringify({ type: 'job.completed', data: { id: 'x', text: 'ü' } })
let record: TestRecord
let receiver: Receiver
beforeAll(async () => {
  record = await openRecord()
})
afterAll(() => record.close())
beforeEach(async () => {
  await record.sql`truncate endpoints, outbox, jobs, endings`
  receiver = await startReceiver()
})

/** A worker process that may reach the receiver. */
function deliverer(allow = receiver.host, more: Partial<GuardedFetchOptions> = {}) {
  const guardedFetch = createGuardedFetch({
    ...more,
    allow: parseAllowList(allow),
    timeoutMs: 5_000,
    maxBodyBytes: 1_000_000,
    maxHeaderBytes: 16_384,
  })
  const handler = webhookDeliver({ sql: record.sql, secrets, guardedFetch })
  return (input: Partial<DeliveryInput> & { endpointId: string }, overrides: Partial<HandlerContext> = {}) =>
    handler.run({ eventId: newId(), body, ...input }, handlerContext(overrides))
}

const add = (overrides: Partial<NewEndpoint> = {}) => addEndpoint(record.sql, { url: receiver.url, ...overrides })
const health = async (id: string) => (await readForDelivery(record.sql, id))!
const verify = (secret: string, { headers, body: sent }: Received) =>
  new Webhook(secret).verify(sent, headers as Record<string, string>)

async function refuseChanges(): Promise<void> {
  await record.sql.unsafe(`
    create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
    create trigger refuse before update on endpoints for each row execute function refuse()`)
  onTestFinished(async () => void (await record.sql.unsafe('drop function refuse cascade')))
}

describe('A delivery', () => {
  it('is signed so that the library of Standard Webhooks accepts it, with the id of the event', async () => {
    const { endpoint, secret } = await add()
    const eventId = newId()
    const output = await deliverer()({ endpointId: endpoint.id, eventId })
    expect(output).toEqual({ status: 200, latencyMs: expect.any(Number), body: '' })
    const [received] = receiver.received
    expect(received?.headers).toMatchObject({ 'webhook-id': eventId, 'content-type': 'application/json' })
    expect(verify(secret, received!)).toEqual(JSON.parse(body))
    expect(() => verify(newWebhookSecret(), received!)).toThrow('No matching signature')
  })

  it('is signed with both secrets while the former one is valid', async () => {
    const { endpoint, secret } = await add()
    const next = newWebhookSecret()
    const rotated = { secret: secrets.seal(next, endpoint.id), bothForMs: 60_000 }
    await rotateSecret(record.sql, 'default', endpoint.id, rotated)
    await deliverer()({ endpointId: endpoint.id })
    for (const valid of [secret, next]) expect(verify(valid, receiver.received[0]!)).toEqual(JSON.parse(body))
    await record.sql`update endpoints set previous_secret_until = now() - interval '1 second'`
    await deliverer()({ endpointId: endpoint.id })
    expect(verify(next, receiver.received[1]!)).toEqual(JSON.parse(body))
    expect(() => verify(secret, receiver.received[1]!)).toThrow('No matching signature')
  })

  it('bears the headers of the endpoint, which cannot replace those of the platform', async () => {
    const headers = { authorization: 'Bearer x', 'webhook-id': 'mine', 'content-type': 'text/plain' }
    const { endpoint } = await add()
    await record.sql`update endpoints set headers = ${secrets.seal(JSON.stringify(headers), endpoint.id)}`
    const eventId = newId()
    await deliverer()({ endpointId: endpoint.id, eventId })
    expect(receiver.received[0]?.headers).toMatchObject({
      authorization: 'Bearer x',
      'webhook-id': eventId,
      'content-type': 'application/json',
    })
  })

  it('is made of its event where it has no body', async () => {
    const { endpoint } = await add()
    const id = await record.addJob()
    await record.end(id, 'completed', 0)
    await record.sql`update stream set head = 0`
    await record.place()
    await deliverer()({ endpointId: endpoint.id, eventId: id, position: 1, body: undefined })
    expect(JSON.parse(receiver.received[0]!.body)).toMatchObject({ type: 'job.completed', data: { id } })
    const gone = deliverer()({ endpointId: endpoint.id, position: 1, body: undefined })
    await expect(gone).rejects.toMatchObject({ name: 'PermanentError', reason: 'not_deliverable' })
  })

  it('fails for good when its endpoint is disabled, gone, or another tenant’s', async () => {
    const { endpoint } = await add()
    const foreign = deliverer()({ endpointId: endpoint.id }, { tenant: 'another' })
    await expect(foreign).rejects.toMatchObject({ name: 'PermanentError', reason: 'endpoint_deleted' })
    await disableEndpoint(record.sql, 'default', endpoint.id)
    const disabled = deliverer()({ endpointId: endpoint.id })
    await expect(disabled).rejects.toMatchObject({ name: 'PermanentError', reason: 'endpoint_disabled' })
    await deleteEndpoint(record.sql, 'default', endpoint.id)
    const gone = deliverer()({ endpointId: endpoint.id })
    await expect(gone).rejects.toMatchObject({ name: 'PermanentError', reason: 'endpoint_deleted' })
    expect(receiver.received).toEqual([])
  })

  it.each([
    [301, { location: 'http://127.0.0.1/' }],
    [400, {}],
    [404, {}],
    [500, {}],
  ])('has failed when the answer is %i, which is kept', async (status, headers) => {
    const { endpoint } = await add()
    receiver.answer = { status, headers, body: 'because\0' + 'x'.repeat(5_000) }
    const failed = await deliverer()({ endpointId: endpoint.id }).catch((error: unknown) => error)
    expect(failed).toMatchObject({
      name: 'RetryError',
      reason: 'http_status',
      delayMs: undefined,
      detail: { status, latencyMs: expect.any(Number), body: expect.stringMatching(/^because\uFFFDx+$/) },
    })
    expect((failed as { detail: { body: string } }).detail.body).toHaveLength(1_000)
    expect(receiver.received).toHaveLength(1)
    expect(await health(endpoint.id)).toMatchObject({ failures: 1, openUntil: null, failingSince: expect.any(Date) })
  })

  it.each([
    [429, { 'retry-after': '7' }, 1, 7_000, 7_700],
    [503, { 'retry-after': '400' }, 2, 400_000, 440_000],
    [429, { 'retry-after': '1' }, 2, 270_000, 330_000],
    [429, { 'retry-after': '999999' }, 1, 86_400_000, 95_040_000],
  ])(
    'is repeated after %i with %j on attempt %i no sooner than asked, nor than its turn',
    async (status, headers, attempt, from, to) => {
      const { endpoint } = await add()
      receiver.answer = { status, headers }
      const failed = await deliverer()({ endpointId: endpoint.id }, { attempt }).catch((error: unknown) => error)
      const { delayMs } = failed as { delayMs: number }
      expect(delayMs).toBeGreaterThanOrEqual(from)
      expect(delayMs).toBeLessThanOrEqual(to)
      expect((await health(endpoint.id)).openForMs).toBeGreaterThan(0)
    },
  )

  it.each([429, 502, 504])('leaves a receiver alone for a while that answers %i', async (status) => {
    const { endpoint } = await add()
    receiver.answer = { status }
    await deliverer()({ endpointId: endpoint.id }).catch(() => {})
    expect((await health(endpoint.id)).openForMs).toBeGreaterThan(4_000)
    const snoozed = await deliverer()({ endpointId: endpoint.id }).catch((error: unknown) => error)
    expect(snoozed).toMatchObject({ name: 'SnoozeError' })
    expect((snoozed as { delayMs: number }).delayMs).toBeGreaterThanOrEqual(10_000)
    expect(receiver.received).toHaveLength(1)
  })

  it('leaves a receiver alone that has just asked for it, though another delivery succeeds', async () => {
    const { endpoint } = await add()
    await record.sql`update endpoints set failures = 1, failing_since = now()`
    const paused = Promise.withResolvers<void>()
    receiver.answer = (_, response) => void paused.promise.then(() => response.end())
    const slow = deliverer()({ endpointId: endpoint.id })
    await expect.poll(() => receiver.received.length).toBe(1)
    receiver.answer = { status: 429, headers: { 'retry-after': '60' } }
    await deliverer()({ endpointId: endpoint.id }).catch(() => {})
    paused.resolve()
    await slow
    const { failures, openForMs } = await health(endpoint.id)
    expect(failures).toBe(0)
    expect(openForMs).toBeGreaterThan(50_000)
  })

  it('has succeeded though that cannot be noted', async () => {
    const { endpoint } = await add()
    await record.sql`update endpoints set failures = 1, failing_since = now()`
    await refuseChanges()
    expect(await deliverer()({ endpointId: endpoint.id })).toMatchObject({ status: 200 })
  })

  it.each([500, 410])('has failed with %i though that cannot be noted', async (status) => {
    const { endpoint } = await add()
    await refuseChanges()
    receiver.answer = { status }
    await expect(deliverer()({ endpointId: endpoint.id })).rejects.toMatchObject({ detail: { status } })
  })

  it.each([500, 410])(
    'that brings %i from a URL that the endpoint has not any more counts for nothing',
    async (status) => {
      const { endpoint } = await add()
      receiver.answer = (_, response) => {
        void updateEndpoint(record.sql, 'default', endpoint.id, { url: 'https://new.example/' }).then(() =>
          response.writeHead(status, { 'retry-after': '60' }).end(),
        )
      }
      await deliverer()({ endpointId: endpoint.id }).catch(() => {})
      expect(await health(endpoint.id)).toMatchObject({ failures: 0, disabledAt: null, openForMs: 0 })
    },
  )

  it('waits while the database gives no answer, which is nobody’s fault', async () => {
    const { endpoint } = await add()
    const closed = connect(record.url, { applicationName: 'closed', max: 1 })
    await closed.close()
    const guardedFetch = createGuardedFetch({ allow: [], timeoutMs: 1, maxBodyBytes: 1, maxHeaderBytes: 1 })
    const handler = webhookDeliver({ sql: closed.sql, secrets, guardedFetch })
    const input = { endpointId: endpoint.id, eventId: newId(), body }
    await expect(handler.run(input, handlerContext({}))).rejects.toMatchObject({ name: 'SnoozeError', reason: heldUp })
  })

  it('waits while the secret cannot be opened, and is not sent', async () => {
    const { endpoint } = await add()
    await record.sql`update endpoints set secret = ${new SecretBox('another').seal('whsec_x', endpoint.id)}`
    await expect(deliverer()({ endpointId: endpoint.id })).rejects.toMatchObject({
      name: 'SnoozeError',
      reason: heldUp,
      message: expect.stringContaining('JOBYARD_SECRET'),
    })
    expect([receiver.received, (await health(endpoint.id)).failures]).toEqual([[], 0])
  })

  it('sees at once what another one has noted', async () => {
    const { endpoint } = await add()
    const deliver = deliverer()
    const [held, noted] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    await record.sql.unsafe(`
      create function hold() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(7); return new; end $$;
      create trigger hold before update on endpoints for each row execute function hold()`)
    onTestFinished(async () => void (await record.sql.unsafe('drop function hold cascade')))
    receiver.answer = { status: 410 }
    const holding = record.db.transactions.run(async (tx) => {
      await tx`select pg_advisory_xact_lock(7)`
      held.resolve()
      await noted.promise
    })
    await held.promise
    const gone = deliver({ endpointId: endpoint.id }).catch((error: unknown) => error)
    const waiting = () => record.sql`select from pg_locks where locktype = 'advisory' and not granted
      and database = (select oid from pg_database where datname = current_database())`
    await expect.poll(waiting).toHaveLength(1)
    receiver.answer = { status: 200 }
    await deliver({ endpointId: endpoint.id })
    noted.resolve()
    await Promise.all([holding, gone])
    await expect(deliver({ endpointId: endpoint.id })).rejects.toMatchObject({ reason: 'endpoint_disabled' })
  })

  it('disables an endpoint that answers 410, at once and with one event', async () => {
    const { endpoint } = await add()
    receiver.answer = { status: 410 }
    const deliver = deliverer()
    const both = await Promise.allSettled([deliver({ endpointId: endpoint.id }), deliver({ endpointId: endpoint.id })])
    expect(both).toMatchObject([
      { reason: { name: 'PermanentError', reason: 'endpoint_gone', detail: { status: 410 } } },
      { reason: { reason: 'endpoint_gone' } },
    ])
    expect(await health(endpoint.id)).toMatchObject({ disabledReason: 'gone', disabledAt: expect.any(Date) })
    expect(await record.sql`select type, job_id, data, sequence from outbox`).toEqual([
      {
        type: 'endpoint.disabled',
        jobId: null,
        sequence: 1,
        data: { id: endpoint.id, url: receiver.url, reason: 'gone' },
      },
    ])
  })

  it('reaches no address that is forbidden, and says so', async () => {
    const { endpoint } = await add()
    await expect(deliverer('')({ endpointId: endpoint.id })).rejects.toMatchObject({
      name: 'RetryError',
      reason: 'url_not_allowed',
    })
    expect(receiver.received).toEqual([])
    expect(await health(endpoint.id)).toMatchObject({ failures: 1 })
  })

  it('waits while the egress proxy is away, and blames nobody', async () => {
    const proxy = new URL('http://127.0.0.1:1')
    const { endpoint } = await add({ url: 'https://93.184.215.14/' })
    const waiting = deliverer('', { proxy })({ endpointId: endpoint.id })
    await expect(waiting).rejects.toMatchObject({
      name: 'SnoozeError',
      reason: heldUp,
      message: 'The egress proxy gives no answer',
    })
    expect((await health(endpoint.id)).failures).toBe(0)
  })

  it('has failed when there is no answer', async () => {
    const { endpoint } = await add()
    receiver.answer = (request) => void request.socket.destroy()
    await expect(deliverer()({ endpointId: endpoint.id })).rejects.toMatchObject({ reason: 'no_answer' })
  })

  it('reads no more of the answer than it needs, and ends there', async () => {
    const { endpoint } = await add()
    receiver.answer = (_, response) => {
      response.writeHead(200)
      const more = () => void (response.destroyed || response.write('x'.repeat(10_000), () => setImmediate(more)))
      more()
    }
    expect(await deliverer()({ endpointId: endpoint.id })).toMatchObject({ status: 200, body: 'x'.repeat(1_000) })
  })

  it('counts nothing against the endpoint when it is aborted', async () => {
    const { endpoint } = await add()
    const stop = new AbortController()
    receiver.answer = () => stop.abort(new Error('The worker stops'))
    const aborted = deliverer()({ endpointId: endpoint.id }, { signal: stop.signal })
    await expect(aborted).rejects.toThrow('The worker stops')
    expect(await health(endpoint.id)).toMatchObject({ failures: 0 })
  })
})

describe('The circuit of an endpoint', () => {
  const failTimes = async (times: number, id: string) => {
    receiver.answer = { status: 500 }
    for (let time = 0; time < times; time++) await deliverer()({ endpointId: id }).catch(() => {})
  }
  const wait = async () => void (await record.sql`update endpoints set open_until = now()`)

  it('opens after five failures in a row, and deliveries wait until it closes', async () => {
    const { endpoint } = await add()
    await failTimes(4, endpoint.id)
    expect(await health(endpoint.id)).toMatchObject({ failures: 4, openUntil: null })
    await failTimes(1, endpoint.id)
    const { openForMs } = await health(endpoint.id)
    expect(openForMs).toBeGreaterThan(9_000)
    const snoozed = await deliverer()({ endpointId: endpoint.id }).catch((error: unknown) => error)
    expect(snoozed).toMatchObject({ name: 'SnoozeError' })
    expect((snoozed as { delayMs: number }).delayMs).toBeGreaterThan(8_000)
    expect(receiver.received).toHaveLength(5)
  })

  it('counts a burst that was under way when it opened once', async () => {
    const { endpoint } = await add()
    await failTimes(4, endpoint.id)
    await Promise.all(Array.from({ length: 6 }, () => deliverer()({ endpointId: endpoint.id }).catch(() => {})))
    expect(await health(endpoint.id)).toMatchObject({ failures: 5 })
  })

  it('is tried by one delivery, and closes when it succeeds', async () => {
    const { endpoint } = await add()
    await failTimes(5, endpoint.id)
    await wait()
    receiver.answer = (_, response) => void delay(50).then(() => response.end())
    const tries = await Promise.allSettled(Array.from({ length: 4 }, () => deliverer()({ endpointId: endpoint.id })))
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(receiver.received).toHaveLength(6)
    expect(await health(endpoint.id)).toMatchObject({ failures: 0, failingSince: null, openUntil: null })
  })

  it('stays open longer each time that fails, up to ten minutes', async () => {
    const { endpoint } = await add()
    await failTimes(5, endpoint.id)
    const openSeconds: number[] = []
    for (let time = 0; time < 8; time++) {
      await wait()
      await failTimes(1, endpoint.id)
      openSeconds.push(Math.round((await health(endpoint.id)).openForMs / 1_000))
    }
    expect(openSeconds).toEqual([20, 40, 80, 160, 320, 600, 600, 600])
  })

  it('is closed by a success before it opens', async () => {
    const { endpoint } = await add()
    await failTimes(4, endpoint.id)
    receiver.answer = { status: 204 }
    await deliverer()({ endpointId: endpoint.id })
    expect(await health(endpoint.id)).toMatchObject({ failures: 0, failingSince: null })
  })

  it('disables the endpoint after five days of failures only, with one event', async () => {
    const { endpoint } = await add()
    await failTimes(5, endpoint.id)
    await record.sql`update endpoints set failures = 30, failing_since = now() - interval '4 days 23 hours', open_until = now()`
    await failTimes(1, endpoint.id)
    expect(await health(endpoint.id)).toMatchObject({ disabledAt: null })
    await record.sql`update endpoints set failing_since = now() - interval '5 days 1 minute', open_until = now()`
    await failTimes(2, endpoint.id)
    expect(await health(endpoint.id)).toMatchObject({ disabledReason: 'failing', disabledAt: expect.any(Date) })
    expect(await record.sql`select type, data->>'reason' as reason from outbox`).toEqual([
      { type: 'endpoint.disabled', reason: 'failing' },
    ])
  })

  it('does not disable an endpoint that has failed a few times only, however long ago the first was', async () => {
    const { endpoint } = await add()
    await failTimes(1, endpoint.id)
    await record.sql`update endpoints set failures = 18, failing_since = now() - interval '1 year', open_until = now()`
    await failTimes(1, endpoint.id)
    expect(await health(endpoint.id)).toMatchObject({ failures: 19, disabledAt: null })
    await wait()
    await failTimes(1, endpoint.id)
    expect(await health(endpoint.id)).toMatchObject({ failures: 20, disabledReason: 'failing' })
  })

  it('is not open for years because the clock was set back', async () => {
    const { endpoint } = await add()
    await failTimes(5, endpoint.id)
    const far = async () => void (await record.sql`update endpoints set open_until = now() + interval '10 years'`)
    await far()
    await failTimes(1, endpoint.id)
    const { failures, openForMs } = await health(endpoint.id)
    expect(failures).toBe(6)
    expect(openForMs).toBeLessThan(20_001)
    await far()
    receiver.answer = { status: 200 }
    await deliverer()({ endpointId: endpoint.id })
    expect(await health(endpoint.id)).toMatchObject({ failures: 0, openUntil: null })
  })

  it('is looked at once a second, and at once where it has just changed', async () => {
    const { endpoint } = await add()
    const deliver = deliverer()
    await deliver({ endpointId: endpoint.id })
    await disableEndpoint(record.sql, 'default', endpoint.id)
    await deliver({ endpointId: endpoint.id })
    await expect
      .poll(
        () =>
          deliver({ endpointId: endpoint.id }).then(
            () => 'sent',
            () => 'refused',
          ),
        { timeout: 5_000 },
      )
      .toBe('refused')
    expect(receiver.received.length).toBeGreaterThanOrEqual(2)
  })
})
