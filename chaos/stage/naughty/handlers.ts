import { setTimeout as delay } from 'node:timers/promises'
import { defineBatchHandler, defineHandler, type Handler, type HandlerContext } from '@jobyard/workers/define-handler'
import { crowd, naughty, type Deed, type poisons, type returnables, type throwables } from './contracts.ts'
import { witnessed } from './witness.ts'

const megabyte = 1_048_576

/** The handlers of the naughty types. */
export const naughtyHandlers: readonly Handler[] = [
  defineHandler(naughty, (deed, ctx) => witnessed(ctx.jobId, () => doIt(deed, ctx))),
  defineBatchHandler(crowd, async (jobs) =>
    jobs.map(({ input }) => (input.spoils ? nest(1_500) : { together: jobs.length })),
  ),
]

function doIt(deed: Deed, ctx: HandlerContext): unknown {
  switch (deed.does) {
    case 'sleep':
      return sleep(deed.ms, deed.heedsSignal ? ctx.signal : undefined)
    case 'poison':
      return poison[deed.how]()
    case 'throw':
      return throwIt(thrown[deed.what]())
    case 'return':
      return returned[deed.what]()
  }
}

async function sleep(ms: number, signal: AbortSignal | undefined) {
  await delay(ms, undefined, { signal })
  return { pid: process.pid }
}

const poison: Record<(typeof poisons)[number], () => unknown> = {
  exit: () => process.exit(0),
  'exhaust memory': () => {
    const hoard: unknown[] = []
    for (;;) hoard.push(Array.from({ length: 1_000 }, (_, index) => ({ index })))
  },
  loop: () => {
    for (;;) continue
  },
  'leave a rejection': async () => {
    void Promise.reject(new Error('nobody catches this'))
    await delay(1_000)
  },
  'throw later': async () => {
    setTimeout(() => throwIt(new Error('nobody catches this either')), 10)
    await delay(1_000)
  },
}

const thrown: Record<(typeof throwables)[number], () => unknown> = {
  null: () => null,
  undefined: () => undefined,
  'a symbol': () => Symbol('thrown'),
  'a getter that throws': () => hostile(new Error('hostile')),
  'a revoked proxy': () => {
    const { proxy, revoke } = Proxy.revocable(new Error('revoked'), {})
    revoke()
    return proxy
  },
  '10 MB': () => new Error('x'.repeat(10 * megabyte)),
  'NUL and half a character': () => new Error('\0 \ud800'),
  'bullmq:rateLimitExceeded': () => new Error('bullmq:rateLimitExceeded'),
  DelayedError: () => named('DelayedError'),
  WaitingError: () => named('WaitingError'),
  WaitingChildrenError: () => named('WaitingChildrenError'),
  UnrecoverableError: () => named('UnrecoverableError'),
}

const returned: Record<(typeof returnables)[number], () => unknown> = {
  'a BigInt': () => 1n,
  'a cycle': () => {
    const cycle: { itself?: unknown } = {}
    cycle.itself = cycle
    return cycle
  },
  '50 MB': () => 'x'.repeat(50 * megabyte),
  'NUL and half a character': () => '\0 \ud800',
  'nothing, ever': () => new Promise(() => {}),
  'a getter that throws': () => hostile({}),
  'a toJSON that throws': () => ({ toJSON: () => throwIt(new Error('no JSON of me')) }),
  undefined: () => undefined,
  'a function': () => doIt,
  'too deep a nest': () => nest(1_000_000),
}

/** @returns lists in lists. Postgres stores no nest that is deeper than its `max_stack_depth` allows. */
function nest(depth: number): unknown {
  let inner: unknown[] = []
  for (let level = 1; level < depth; level++) inner = [inner]
  return inner
}

/** @returns what throws whenever one looks at it. */
function hostile(target: object): unknown {
  const refuse = () => throwIt(new Error('do not look at me'))
  return new Proxy(target, { get: refuse, has: refuse, ownKeys: refuse, getPrototypeOf: refuse })
}

function named(name: string): Error {
  return Object.assign(new Error(`a handler's own ${name}`), { name })
}

function throwIt(anything: unknown): never {
  // oxlint-disable-next-line typescript/only-throw-error -- what a handler throws need not be an error
  throw anything
}
