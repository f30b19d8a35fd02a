import { setTimeout as delay } from 'node:timers/promises'
import { withDeadline } from '@jobyard/queues/deadline'
import { Client } from '../load/client.ts'
import { Ledger } from '../load/ledger.ts'
import { ordinaryWish } from '../load/wishes.ts'
import { awaitEnds, judge } from '../oracle.ts'
import { Random } from '../random.ts'
import { emptyReport, type Part, type PartOptions, type Report } from '../report.ts'
import { openStage, type Stage } from '../stage/stage.ts'
import type { Fault } from './fault.ts'
import { networkFaults } from './faults/networks.ts'
import { postgresFaults } from './faults/postgres.ts'
import { processFaults } from './faults/processes.ts'
import { redisFaults } from './faults/redis.ts'
import { HoldingsWatch } from './holdings-watch.ts'

const allFaults: readonly Fault[] = [...processFaults, ...networkFaults, ...redisFaults, ...postgresFaults]
/** Time that a fault may take at most, in milliseconds. */
const faultDeadlineMs = 120_000
/** Time that every accepted job has to end in once everything is healed, in milliseconds. */
const endsWithinMs = 120_000
const warmUpJobs = 200

/**
 * Real processes on real servers under load, while one fault after the other strikes them: processes are killed, stopped and
 * blocked, servers restarted, wiped and filled, connections cut, frozen and slowed. Then everything is healed, and what the clients
 * were told is compared with the record.
 */
export const storm: Part = async (options) => {
  const startedAt = performance.now()
  const log: { at: Date; what: string }[] = []
  const tell = (what: string) => void log.push({ at: new Date(), what })
  const stage = await openStage({ carrier: options.carrier, apis: 3, workers: 3, onDeath: tell })
  let verdictIsGood = false
  try {
    const report = await weather(stage, options, log, tell)
    verdictIsGood = report.violations.length === 0
    return { ...report, seconds: (performance.now() - startedAt) / 1_000 }
  } finally {
    if (!verdictIsGood) options.onProgress(`the logs of the processes are in ${stage.folder}`)
    await stage.close(!verdictIsGood)
  }
}

async function weather(
  stage: Stage,
  options: PartOptions,
  log: { at: Date; what: string }[],
  tell: (what: string) => void,
): Promise<Report> {
  const { seed, minutes, carrier, onProgress } = options
  const random = new Random(seed)
  const ledger = new Ledger()
  const callers = random.fork()
  const client = new Client({ api: () => stage.api(callers), ledger, random: random.fork(), wish: ordinaryWish })
  const watch = new HoldingsWatch([stage.apis[0], stage.workers[0]].filter((member) => member !== undefined))
  client.start()
  await ledger.accepts(warmUpJobs)
  const before = ledger.accepted.length
  const calm = await rateOf(ledger, 5_000)
  watch.start()

  const counts: Record<string, number> = {}
  const endAt = performance.now() + minutes * 60_000
  for (const fault of decks(allFaults.filter(strikes(carrier)), random)) {
    if (performance.now() >= endAt) break
    onProgress(`${ledger.accepted.length.toLocaleString('en')} jobs accepted · ${sum(counts)} faults · ${fault.name}`)
    tell(`${fault.name} …`)
    const how = await withDeadline(fault.inject(stage, random), faultDeadlineMs, fault.name)
    tell(`… ${fault.name} ${how}`)
    counts[fault.name] = (counts[fault.name] ?? 0) + 1
    await delay(random.int(200, 1_500))
  }
  const accepted = ledger.accepted.length - before

  onProgress('healing')
  await withDeadline(stage.heal(), faultDeadlineMs, 'Healing')
  tell('healed')
  const healedAt = performance.now()
  const after = await rateOf(ledger, 20_000)
  await watch.stop()
  await withDeadline(client.stop(), faultDeadlineMs, 'The last requests')
  onProgress('waiting for the last jobs')
  await awaitEnds(stage.db, endsWithinMs)
  const endedAfterMs = performance.now() - healedAt
  onProgress(`comparing ${ledger.accepted.length.toLocaleString('en')} promises with the record`)
  const verdict = await judge(stage.db, ledger, log)
  return {
    ...emptyReport('storm', options),
    ...verdict,
    accepted,
    faults: { real: counts, exact: {} },
    figures: {
      'jobs/s accepted before the faults': calm,
      'jobs/s accepted after healing': after,
      'seconds from healing to the last end': endedAfterMs / 1_000,
      'failed as crash_loop': verdict.crashLoops,
      ...watch.figures(),
    },
  }
}

/** Every fault once, in an order that chance decides, again and again. */
function* decks(faults: readonly Fault[], random: Random): Iterable<Fault> {
  for (;;) {
    const left = [...faults]
    while (left.length > 0) yield* left.splice(random.int(0, left.length - 1), 1)
  }
}

function strikes(carrier: Stage['carrier']) {
  return ({ carriers }: Fault) => carriers === undefined || carriers.includes(carrier)
}

async function rateOf(ledger: Ledger, ms: number): Promise<number> {
  const before = ledger.accepted.length
  await delay(ms)
  return ((ledger.accepted.length - before) * 1_000) / ms
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}
