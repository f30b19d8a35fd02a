import fc from 'fast-check'
import type { Run } from '@jobyard/workers/ownership'
import type { Ended } from './model.ts'
import * as upkeep from './upkeep-calls.ts'
import * as worker from './worker-calls.ts'
import { inOrder, type Operation, type Timing, type World } from './world.ts'

type Command = fc.AsyncCommand<World, World>

/** A kind of command. Numbers in its parameters choose among what there is when it runs. */
interface Kind<Params> {
  readonly weight: number
  readonly params: fc.Arbitrary<Params>
  /** Whether there is anything to choose from. */
  readonly when?: (world: Readonly<World>) => boolean
  readonly run: (world: World, params: Params) => Promise<void> | undefined
}

function kind<Params>(name: string, { weight, params, when = () => true, run }: Kind<Params>): fc.Arbitrary<Command>[] {
  const command = params.map((chosen) => ({
    check: when,
    run: async (world: World) => run(world, chosen),
    toString: () => `${name}(${JSON.stringify(chosen)})`,
  }))
  return Array.from({ length: weight }, () => command)
}

const number = fc.nat(99)
const often = <T>(usual: T, ...others: T[]) => fc.constantFrom(usual, usual, usual, ...others)
const timing: fc.Arbitrary<Timing> = fc.record({
  starts: often<Timing['starts']>('now', 'later'),
  reply: often<Timing['reply']>('now', 'later', 'never'),
})
const process = fc.nat(1)
const request: fc.Arbitrary<upkeep.Request> = fc.record({
  tenant: often('acme', 'beta'),
  priority: often(0, 9),
  maxAttempts: fc.integer({ min: 1, max: 3 }),
  dueIn: often<number | undefined>(undefined, 60),
  expiresIn: often<number | undefined>(undefined, undefined, undefined, 30),
  key: often<{ name: string; hash: string } | undefined>(
    undefined,
    { name: 'k1', hash: 'h1' },
    { name: 'k1', hash: 'h2' },
    { name: 'k2', hash: 'h1' },
  ),
  shares: fc.constantFrom(undefined, 'd1'),
  internal: often(false, true),
  batched: fc.boolean(),
})
/** What clients ask for at once. */
export const someRequests = fc.array(request, { minLength: 1, maxLength: 3 })
const ended: fc.Arbitrary<Ended> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Ended>({ outcome: 'completed' }) },
  { weight: 3, arbitrary: fc.record({ outcome: fc.constant('failed' as const), permanent: often(false, true) }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Ended>({ outcome: 'timed_out' }, { outcome: 'snoozed' }, { outcome: 'cancelled' }),
  },
)
/** `late`: one of all runs there ever were, most of which are over. */
const run = fc.record({ number, late: often(false, true) })

const hasTickets = ({ stage }: Readonly<World>) => stage.bag.held.length > 0
const hasJobs = ({ jobs }: Readonly<World>) => jobs.size > 0
const hasRuns = ({ runs }: Readonly<World>) => runs.length > 0

const chosen = <T>(from: readonly T[], n: number): T => from[n % from.length] as T
const tenantOf = (world: World, id: string, foreign: boolean) =>
  foreign ? 'somebody else' : (world.jobs.get(id)?.tenant ?? 'acme')

function chosenRun({ processes, runs }: World, { number: n, late }: { number: number; late: boolean }): Run {
  const present = processes.flatMap(({ ownership }) => [...ownership.runs])
  return chosen(late || present.length === 0 ? runs : present, n)
}

/** At most one run of each job. */
function endingRuns(world: World, picks: readonly { run: { number: number; late: boolean }; ended: Ended }[]) {
  const byJob = new Map(
    picks.map((pick) => ({ ...pick, run: chosenRun(world, pick.run) })).map((one) => [one.run.job.id, one]),
  )
  return [...byJob.values()]
}

/** A process, one that runs something if there is any, is killed and declared dead, and its jobs are queued. */
function die(world: World, n: number): Operation {
  const busy = world.processes.filter(({ ownership }) => ownership.size > 0)
  const process = chosen(busy.length > 0 ? busy : world.processes, n)
  const { workerId } = process.ownership
  const beat = world.around.workers.get(workerId)
  const reap = beat === undefined ? [] : [upkeep.reap(world, workerId, beat)]
  return { ...inOrder([worker.crash(process), ...reap, upkeep.requeue(world)]), process }
}

/** A job kills the processes that run it, again and again. */
async function poison(world: World, n: number, deaths: number): Promise<void> {
  const { bag } = world.stage
  const process = chosen(world.processes, n)
  const job = bag.held[0]?.ids[0] ?? ''
  for (let death = 0; death < deaths; death++) {
    const at = bag.held.findIndex(({ ids }) => ids.includes(job))
    const ticket = at < 0 ? undefined : bag.take(at)
    await world.perform(ticket ? worker.claim(world, process, ticket, 3, true) : worker.claimSuspect(world, process))
    await world.perform(die(world, n))
  }
}

/** Clients ask at once for jobs that are to be one. */
async function rival(world: World, wanted: upkeep.Request, rivals: number): Promise<void> {
  await world.hold('deduplications', rivals)
  for (let n = 0; n < rivals; n++) await world.perform(upkeep.submit(world, [{ ...wanted, shares: 'd1' }]))
}

const byClients = [
  kind('rival', {
    weight: 2,
    params: fc.record({ request, rivals: fc.integer({ min: 2, max: 3 }) }),
    run: (world, { request: wanted, rivals }) => rival(world, wanted, rivals),
  }),
  kind('submit', {
    weight: 5,
    params: fc.record({ requests: someRequests, timing }),
    run: (world, { requests, timing: when }) => world.perform(upkeep.submit(world, requests), when),
  }),
  kind('cancel', {
    weight: 4,
    params: fc.record({ job: number, foreign: often(false, true), timing }),
    when: hasJobs,
    run: (world, { job, foreign, timing: when }) => {
      const id = chosen([...world.jobs.keys()], job)
      return world.perform(upkeep.cancel(world, tenantOf(world, id, foreign), id), when)
    },
  }),
  kind('redrive', {
    weight: 1,
    params: fc.record({ job: number, foreign: often(false, true), timing }),
    when: hasJobs,
    run: (world, { job, foreign, timing: when }) => {
      const id = chosen([...world.jobs.keys()], job)
      return world.perform(upkeep.redrive(world, tenantOf(world, id, foreign), id), when)
    },
  }),
  kind('promote', {
    weight: 1,
    params: fc.record({ job: number, foreign: often(false, true), timing }),
    when: hasJobs,
    run: (world, { job, foreign, timing: when }) => {
      const id = chosen([...world.jobs.keys()], job)
      return world.perform(upkeep.promote(world, tenantOf(world, id, foreign), id), when)
    },
  }),
  kind('pause', {
    weight: 1,
    params: fc.record({ paused: fc.boolean(), timing }),
    run: (world, { paused, timing: when }) => world.perform(upkeep.pause(world, paused), when),
  }),
]

const byWorkers = [
  kind('deliver', {
    weight: 14,
    params: fc.record({ ticket: number, process, slots: often(3, 1), timing }),
    when: hasTickets,
    run: (world, { ticket, process: n, slots, timing: when }) => {
      const taken = world.stage.bag.take(ticket)
      const patient = when.reply !== 'never'
      return taken && world.perform(worker.claim(world, chosen(world.processes, n), taken, slots, patient), when)
    },
  }),
  kind('deliverAgain', {
    weight: 2,
    params: fc.record({ ticket: number, process, timing }),
    when: ({ stage }) => stage.bag.sent.length > 0,
    run: (world, { ticket, process: n, timing: when }) => {
      const again = world.stage.bag.again(ticket)
      const patient = when.reply !== 'never'
      return again && world.perform(worker.claim(world, chosen(world.processes, n), again, 3, patient), when)
    },
  }),
  kind('claimSuspect', {
    weight: 4,
    params: fc.record({ process, timing }),
    when: ({ jobs }) => [...jobs.values()].some(({ status, crashes }) => status === 'queued' && crashes >= 2),
    run: (world, { process: n, timing: when }) =>
      world.perform(worker.claimSuspect(world, chosen(world.processes, n)), when),
  }),
  kind('settle', {
    weight: 10,
    params: fc.record({ endings: fc.array(fc.record({ run, ended }), { minLength: 1, maxLength: 3 }), timing }),
    when: hasRuns,
    run: (world, { endings, timing: when }) => world.perform(worker.settle(world, endingRuns(world, endings)), when),
  }),
  kind('transact', {
    weight: 2,
    params: fc.record({ run, throws: often(false, true), timing }),
    when: hasRuns,
    run: (world, { run: pick, throws, timing: when }) =>
      world.perform(worker.transact(world, chosenRun(world, pick), throws), when),
  }),
  kind('transactBatch', {
    weight: 2,
    params: fc.record({
      endings: fc.array(fc.record({ run, ended: often<Ended>({ outcome: 'completed' }, { outcome: 'failed' }) }), {
        minLength: 1,
        maxLength: 3,
      }),
      timing,
    }),
    when: hasRuns,
    run: (world, { endings, timing: when }) =>
      world.perform(worker.transactBatch(world, endingRuns(world, endings)), when),
  }),
  kind('report', {
    weight: 1,
    params: fc.record({ run, timing }),
    when: hasRuns,
    run: (world, { run: pick, timing: when }) => world.perform(worker.report(world, chosenRun(world, pick)), when),
  }),
  kind('beat', {
    weight: 3,
    params: process,
    run: (world, n) => world.perform(worker.beat(chosen(world.processes, n))),
  }),
  kind('crash', {
    weight: 1,
    params: process,
    run: (world, n) => world.perform(worker.crash(chosen(world.processes, n))),
  }),
  kind('die', { weight: 4, params: process, run: (world, n) => world.perform(die(world, n)) }),
  kind('poison', {
    weight: 2,
    params: fc.record({ process, deaths: fc.integer({ min: 2, max: 3 }) }),
    when: hasTickets,
    run: (world, { process: n, deaths }) => poison(world, n, deaths),
  }),
  kind('shutDown', {
    weight: 1,
    params: process,
    run: (world, n) => world.perform(worker.shutDown(world, chosen(world.processes, n))),
  }),
]

const byUpkeep = [
  kind('reap', {
    weight: 2,
    params: fc.record({ worker: number, stale: often(false, true), timing }),
    when: ({ around }) => around.workers.size > 0,
    run: (world, { worker: n, stale, timing: when }) => {
      const [id, seen] = chosen([...world.around.workers], n)
      return world.perform(upkeep.reap(world, id, stale ? seen - 1 : seen), when)
    },
  }),
  kind('requeue', { weight: 2, params: timing, run: (world, when) => world.perform(upkeep.requeue(world), when) }),
  kind('tick', { weight: 2, params: timing, run: (world, when) => world.perform(upkeep.tick(world), when) }),
  kind('sweep', { weight: 1, params: timing, run: (world, when) => world.perform(upkeep.sweep(world), when) }),
  kind('collect', { weight: 1, params: timing, run: (world, when) => world.perform(upkeep.collect(world), when) }),
  kind('prune', {
    weight: 1,
    params: fc.record({ eventMinutes: fc.constantFrom(30, 90), timing }),
    run: (world, { eventMinutes, timing: when }) => world.perform(upkeep.prune(world, 30, eventMinutes), when),
  }),
]

const byChance = [
  kind('lose', {
    weight: 1,
    params: number,
    when: hasTickets,
    run: async (world, ticket) => void world.stage.bag.take(ticket),
  }),
  kind('flush', {
    weight: 1,
    params: fc.constant(null),
    when: hasTickets,
    run: async ({ stage }) => stage.bag.flush(),
  }),
  kind('passTime', { weight: 3, params: often(1, 60), run: (world, minutes) => world.passTime(minutes) }),
  kind('hold', {
    weight: 5,
    params: fc.record({
      table: often<'jobs' | 'workers' | 'deduplications'>('jobs', 'workers', 'deduplications'),
      room: fc.integer({ min: 2, max: 3 }),
    }),
    when: hasJobs,
    run: (world, { table, room }) => world.hold(table, room),
  }),
  kind('wearOut', {
    weight: 1,
    params: number,
    when: hasJobs,
    run: (world, job) => world.wearOut(chosen([...world.jobs.keys()], job)),
  }),
]

/**
 * Sequences of commands.
 *
 * @param replayPath of a report of fast-check, to repeat exactly what it shows.
 */
export function sequences(maxCommands: number, replayPath?: string): fc.Arbitrary<Iterable<Command>> {
  const commands = [byClients, byWorkers, byUpkeep, byChance].flat(2)
  return fc.commands<World, World, false>(commands, {
    maxCommands,
    size: 'max',
    ...(replayPath !== undefined && { replayPath }),
  })
}
