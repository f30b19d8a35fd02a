import dns from 'node:dns/promises'
import { syncBuiltinESMExports } from 'node:module'
import { performance } from 'node:perf_hooks'
import timers from 'node:timers/promises'

/*
 * Loaded into the processes of a trial before anything else, by `node --import`. It changes nothing of the platform: it turns the
 * process's clock, has names stand for this machine, makes handlers that sleep deaf to their signals, stands in its way when it is told to, and tells how much it holds.
 */

/** What a puppet can be told. */
export type Order = { readonly chaos: 'block' | 'turn clock'; readonly ms: number } | { readonly chaos: 'measure' }

/** What a process holds. */
export interface Holdings {
  /** Bytes. */
  readonly rss: number
  readonly heapUsed: number
  /** Active resources of the event loop, timers among them. */
  readonly resources: number
  readonly timers: number
}

/** What this process believes the time to be ahead of the truth, in milliseconds. */
let aheadMs = Number(process.env['CHAOS_CLOCK_OFFSET_MS'] ?? 0)
turnClock()
if (process.env['CHAOS_DEAF']) ignoreSignals()
if (process.env['CHAOS_LOCAL_NAME']) resolveToThisMachine(process.env['CHAOS_LOCAL_NAME'])
process.on('message', (message) => obey(message as Order))
process.channel?.unref()

function obey(order: Order): void {
  if (order.chaos === 'block') block(order.ms)
  if (order.chaos === 'turn clock') aheadMs = order.ms
  if (order.chaos === 'measure') process.send?.({ holdings: measure() })
}

function block(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until) continue
}

function measure(): Holdings {
  const resources = process.getActiveResourcesInfo()
  const { rss, heapUsed } = process.memoryUsage()
  const timers = resources.filter((name) => name === 'Timeout' || name === 'Immediate').length
  return { rss, heapUsed, resources: resources.length - timers, timers }
}

/** From now on whoever sleeps does so to the end. */
function ignoreSignals(): void {
  const sleep = timers.setTimeout
  timers.setTimeout = (ms, value) => sleep(ms, value)
  syncBuiltinESMExports()
}

/** From now on a name stands for this machine, as one whose owner has changed its address. */
function resolveToThisMachine(name: string): void {
  for (const [method, addresses] of [
    ['resolve4', ['127.0.0.1']],
    ['resolve6', []],
  ] as const) {
    const resolve: (this: dns.Resolver, hostname: string) => Promise<string[]> = dns.Resolver.prototype[method]
    dns.Resolver.prototype[method] = function (this: dns.Resolver, hostname: string) {
      return hostname === name ? Promise.resolve([...addresses]) : resolve.call(this, hostname)
    } as typeof dns.Resolver.prototype.resolve4
  }
}

/** Makes this process believe in {@link aheadMs}. */
function turnClock(): void {
  const TrueDate = Date
  const now = () => TrueDate.now() + aheadMs
  globalThis.Date = new Proxy(TrueDate, {
    construct: (target, args: unknown[], newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as Date,
    apply: () => new TrueDate(now()).toString(),
    get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
  })
}
