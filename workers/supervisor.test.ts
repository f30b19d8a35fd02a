import type { Sql } from '@jobyard/db/connect'
import { PermanentError, SnoozeError } from '@jobyard/queues/errors'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeOnBothCarriers, startPlatform, type Platform } from '../testing/platform.ts'
import { script, scriptedHandler, steps } from '../testing/scripted-handler.ts'
import type { HandlerContext } from './define-handler.ts'
import { echo } from './handlers/echo.ts'

describeOnBothCarriers('A platform', (kind) => {
  let platform: Platform
  beforeAll(async () => {
    platform = await startPlatform(kind, { handlers: [echo, scriptedHandler] })
  })
  afterAll(() => platform.stop())
  const name = (what: string) => `${kind} ${what}`
  const run = (what: string, more?: Record<string, unknown>) => platform.run('scripted', { script: name(what) }, more)
  const submit = async (what: string, more?: Record<string, unknown>) => {
    const { body } = await platform.call('POST', '/v1/jobs', {
      type: 'scripted',
      input: { script: name(what) },
      ...more,
    })
    return body.id as string
  }
  const events = async (id: string) =>
    (await platform.db.sql`select type from outbox where job_id = ${id}`).map((event) => event.type as string)

  it('takes a job over HTTP, runs it, and records its result with one event', async () => {
    const { status, headers, body } = await platform.call('POST', '/v1/jobs', {
      type: 'echo',
      input: { value: 'hello' },
    })
    expect(status).toBe(202)
    expect(headers.location).toBe(`/v1/jobs/${body.id}`)
    const job = await platform.ended(body.id)
    expect(job).toMatchObject({ status: 'completed', output: { value: 'hello' }, attemptsMade: 1 })
    expect(job.attempts).toMatchObject([{ attempt: 1, outcome: 'completed' }])
    expect(await events(body.id)).toEqual(['job.completed'])
  })

  it('answers with the finished job when the client waits', async () => {
    const { status, body } = await platform.call(
      'POST',
      '/v1/jobs',
      { type: 'echo', input: { value: 1 } },
      { prefer: 'wait=20' },
    )
    expect(status).toBe(200)
    expect(body).toMatchObject({ status: 'completed', output: { value: 1 } })
  })

  it('repeats failed attempts until one completes', async () => {
    const job = await platform.run('echo', { value: 1, failTimes: 1 })
    expect(job).toMatchObject({ status: 'completed', attemptsMade: 2 })
    expect(job.attempts).toMatchObject([
      { attempt: 1, outcome: 'failed' },
      { attempt: 2, outcome: 'completed' },
    ])
  })

  it('fails a job when its attempts are spent', async () => {
    script(name('hopeless'), steps.error)
    const job = await run('hopeless', { maxAttempts: 2 })
    expect(job).toMatchObject({ status: 'failed', attemptsMade: 2, error: { reason: 'error', message: 'no luck' } })
    expect(await events(job.id)).toEqual(['job.failed'])
  })

  it('fails a job at once when its handler says that nothing helps', async () => {
    script(name('permanent'), steps.permanent)
    expect(await run('permanent')).toMatchObject({
      status: 'failed',
      attemptsMade: 1,
      error: { reason: 'hopeless', message: 'never' },
    })
  })

  it('runs a snoozed job again without spending an attempt', async () => {
    script(name('snooze'), steps.snooze, steps.ok)
    const job = await run('snooze', { maxAttempts: 1 })
    expect(job).toMatchObject({ status: 'completed', attemptsMade: 1 })
    expect(job.attempts).toMatchObject([{ outcome: 'snoozed' }, { outcome: 'completed' }])
  })

  it('aborts and fails an attempt that takes too long', async () => {
    const gate = script(name('slow'), steps.untilAborted)
    const job = await run('slow', { timeoutMs: 50, maxAttempts: 1 })
    expect(job).toMatchObject({ status: 'failed', error: { reason: 'timed_out' }, attemptsMade: 1 })
    expect(gate.begun[0]?.signal.aborted).toBe(true)
  })

  it('settles a job whose handler ignores its signal', async () => {
    const gate = script(name('deaf'), steps.untilOpened)
    expect(await run('deaf', { timeoutMs: 50, maxAttempts: 1 })).toMatchObject({
      status: 'failed',
      error: { reason: 'timed_out' },
    })
    gate.open()
  })

  it('cancels a running job by its signal', async () => {
    const gate = script(name('cancelled'), steps.untilAborted)
    const id = await submit('cancelled')
    await gate.runs(1)
    expect(await platform.call('POST', `/v1/jobs/${id}/cancel`)).toMatchObject({ status: 202 })
    expect(await platform.ended(id)).toMatchObject({ status: 'cancelled', attemptsMade: 0 })
    expect(await events(id)).toEqual(['job.cancelled'])
  })

  it('keeps the progress that a handler reports', async () => {
    const gate = script(name('progress'), async (ctx, { opened }) => {
      ctx.progress(0.5, 'half-way')
      await opened
    })
    const id = await submit('progress')
    let job
    do job = (await platform.call('GET', `/v1/jobs/${id}`)).body
    while (job.progress === undefined)
    expect(job).toMatchObject({ status: 'running', progress: 0.5, progressNote: 'half-way' })
    gate.open()
    await platform.ended(id)
  })

  it('runs a job at its time, not before', async () => {
    const job = await platform.run('echo', { value: 1 }, { delayMs: 700 })
    expect(Date.parse(job.startedAt) - Date.parse(job.createdAt)).toBeGreaterThanOrEqual(700)
  })

  it('runs many jobs, each once', async () => {
    const jobs = Array.from({ length: 300 }, (_, value) => ({ type: 'echo', input: { value } }))
    const { body } = await platform.call('POST', '/v1/jobs/batch', { jobs })
    const ended = await Promise.all(body.items.map(({ id }: { id: string }) => platform.ended(id)))
    expect(ended.map(({ output }) => output.value)).toEqual(jobs.map(({ input }) => input.value))
    const ids = ended.map(({ id }) => id as string)
    const [row] = await platform.db
      .sql`select count(*)::int as events, max(epoch) as claims from outbox join jobs on jobs.id = job_id where job_id = any(${ids}::uuid[])`
    expect(row).toEqual({ events: 300, claims: 1 })
  })

  describe('whatever a handler does, one attempt is spent and the job ends', () => {
    const hostile = new Proxy(new Error('hostile'), {
      get: () => {
        throw new Error('do not look at me')
      },
    })
    it.each<[string, unknown]>([
      ['null', null],
      ['undefined', undefined],
      ['an error whose message cannot be read', hostile],
      ['10 MB', new Error('x'.repeat(10_000_000))],
      ['NUL and a lone surrogate', new Error('\0 \ud800')],
      ['what BullMQ uses for rate limits', new Error('bullmq:rateLimitExceeded')],
      [
        'an error whose reason cannot be read',
        Object.defineProperty(new PermanentError('x'), 'reason', { get: () => hostile.message }),
      ],
      ['a proxy that answers nothing', new Proxy({}, { getPrototypeOf: () => hostile.message as never })],
      ['a snooze of NaN', new SnoozeError(Number.NaN)],
      ['an endless snooze', new SnoozeError(Number.POSITIVE_INFINITY)],
      ['what BullMQ uses for delays', Object.assign(new Error('x'), { name: 'DelayedError' })],
    ])('when it throws %s', async (what, thrown) => {
      script(name(`throws ${what}`), steps.throws(thrown))
      expect(await run(`throws ${what}`, { maxAttempts: 1 })).toMatchObject({ status: 'failed', attemptsMade: 1 })
    })

    const cycle: Record<string, unknown> = {}
    cycle.self = cycle
    it.each<[string, unknown, string]>([
      ['a BigInt', 1n, 'output_not_serializable'],
      ['a cycle', cycle, 'output_not_serializable'],
      ['50 MB', 'x'.repeat(50_000_000), 'output_too_large'],
    ])('when it returns %s', async (what, value, reason) => {
      script(name(`returns ${what}`), steps.returns(value))
      expect(await run(`returns ${what}`)).toMatchObject({ status: 'failed', error: { reason }, attemptsMade: 1 })
    })

    it('when it returns NUL, which is kept', async () => {
      script(name('returns NUL'), steps.returns('\0'))
      expect(await run('returns NUL')).toMatchObject({ status: 'completed', output: '\0' })
    })
  })

  describe('ctx.transaction', () => {
    const marks = async (id: string) => (await platform.db.sql`select from marks where job_id = ${id}`).length
    beforeAll(() => platform.db.sql`create table marks (job_id uuid)`)

    it('commits the handler’s writes with the result', async () => {
      script(name('tx'), (ctx) =>
        ctx.transaction(async (sql) => sql`insert into marks values (${ctx.jobId})`.then(() => 'written')),
      )
      const job = await run('tx')
      expect(job).toMatchObject({ status: 'completed', output: 'written', attemptsMade: 1 })
      expect(await marks(job.id)).toBe(1)
      expect(await events(job.id)).toEqual(['job.completed'])
    })

    it('leaves nothing behind when the handler fails in it', async () => {
      script(name('tx fails'), (ctx) =>
        ctx.transaction(async (sql) => {
          await sql`insert into marks values (${ctx.jobId})`
          throw new Error('no')
        }),
      )
      const job = await run('tx fails', { maxAttempts: 1 })
      expect(job).toMatchObject({ status: 'failed', error: { message: 'no' } })
      expect(await marks(job.id)).toBe(0)
    })

    it('leaves nothing behind when the job was settled meanwhile', async () => {
      const gate = script(name('tx fenced'), (ctx, { opened }) =>
        ctx.transaction(async (sql) => {
          await sql`insert into marks values (${ctx.jobId})`
          await opened
        }),
      )
      const id = await submit('tx fenced', { timeoutMs: 100, maxAttempts: 1 })
      expect(await platform.ended(id)).toMatchObject({ status: 'failed', error: { reason: 'timed_out' } })
      gate.open()
      await platform.run('echo', { value: 'later' })
      expect(await marks(id)).toBe(0)
    })

    it('spends an attempt when another server of the handler cannot be reached', async () => {
      script(name('tx smtp'), (ctx) =>
        ctx.transaction(async () => {
          throw Object.assign(new Error('no mail server'), { code: 'ECONNREFUSED' })
        }),
      )
      expect(await run('tx smtp', { maxAttempts: 1 })).toMatchObject({ status: 'failed', attemptsMade: 1 })
    })

    it.each([
      ['is a conflict with others', '40001', 1],
      ['is full', '53100', 1],
      ['is no primary any more', '25006', 1],
      ['refuses what the handler writes', '23505', 2],
      ['finds a statement of the handler too slow', '57014', 2],
    ])('when Postgres %s (%s), makes %i attempts', async (what, code, attemptsMade) => {
      const fail = `do $$ begin raise exception using errcode = '${code}'; end $$`
      script(
        name(`tx ${what}`),
        (ctx) => ctx.transaction(async (sql) => sql.unsafe(fail)),
        (ctx) => ctx.transaction(async (sql) => sql`insert into marks values (${ctx.jobId})`.then(() => 'written')),
      )
      const job = await run(`tx ${what}`)
      expect(job).toMatchObject({ status: 'completed', output: 'written', attemptsMade })
      expect(await marks(job.id)).toBe(1)
    })

    it.each([
      ['cannot settle', 'alter table outbox rename to elsewhere', 1],
      ['is not told that a statement had failed', 'select 1/0', 2],
    ])('when Postgres %s, makes as many attempts as handlers are to blame for', async (what, spoils, attemptsMade) => {
      script(
        name(`tx ${what}`),
        (ctx) => ctx.transaction(async (sql) => sql.unsafe(spoils).catch(() => {})),
        (ctx) => ctx.transaction(async (sql) => sql`insert into marks values (${ctx.jobId})`.then(() => 'written')),
      )
      const job = await run(`tx ${what}`)
      expect(job).toMatchObject({ status: 'completed', output: 'written', attemptsMade })
      expect(await events(job.id)).toEqual(['job.completed'])
    })

    it('is ended with its attempt, so that it blocks nobody', async () => {
      script(
        name('tx hangs'),
        (ctx) =>
          ctx.transaction(async (sql) => {
            await sql`lock table marks`
            await new Promise(() => {})
          }),
        (ctx) => ctx.transaction(async (sql) => sql`lock table marks`.then(() => 'free')),
      )
      expect(await run('tx hangs', { timeoutMs: 2_000, maxAttempts: 2 })).toMatchObject({
        status: 'completed',
        output: 'free',
        attemptsMade: 2,
      })
    })

    it('refuses a second call', async () => {
      script(name('tx twice'), async (ctx) => {
        await ctx.transaction(async (sql) => sql`select from marks`.then(() => 1))
        return ctx.transaction(async () => 2)
      })
      expect(await run('tx twice')).toMatchObject({ status: 'completed', output: 1, attemptsMade: 1 })
    })

    it.each([
      ['before a statement', async (next: () => Promise<unknown>) => next()],
      ['before the commit', async () => {}],
    ])('runs the job again at no cost when the connection is lost %s', async (when, goOn) => {
      const write = (ctx: HandlerContext, after: (sql: Sql) => Promise<unknown>) =>
        ctx.transaction(async (sql) => {
          await sql`insert into marks values (${ctx.jobId})`
          await after(sql)
          return 'written'
        })
      script(
        name(`tx lost ${when}`),
        (ctx) =>
          write(ctx, async (sql) => {
            const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
            await platform.db.sql`select pg_terminate_backend(${row!.pid}, 5000)`
            await goOn(() => sql`select 1`)
          }),
        (ctx) => write(ctx, async () => {}),
      )
      const job = await run(`tx lost ${when}`)
      expect(job).toMatchObject({ status: 'completed', output: 'written', attemptsMade: 1 })
      expect(await marks(job.id)).toBe(1)
    })
  })
})
