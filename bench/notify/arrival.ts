import type { Bench, Part, Row, Section } from '../bench.ts'
import { jobyardOn, type Contestant } from '../latency/contestants.ts'
import { carriers, type Carrier } from '../growth/carriers.ts'
import type { Times } from '../latency/chain.ts'
import { measureInTurns } from '../rounds.ts'
import { percentile } from '../statistics.ts'
import { startTellingChain, type Delays } from './telling-chain.ts'

interface Figures {
  readonly capacity: number
  readonly delays: Delays
}

const wholeTimes: Times = { warmUpMs: 2_000, measuredMs: 8_000 }
const quickTimes: Times = { warmUpMs: 2_000, measuredMs: 2_000 }
/** Share of the capacity at which delays are measured. */
const load = 0.5
const baseline = jobyardOn.redis.name

/** How long after its result was settled a job is told of. */
export const arrival: Part = async (bench) => {
  const times = bench.quick ? quickTimes : wholeTimes
  const contestants = carriers.map(({ kind, chain: { name } }) => ({ kind, name, note: '' }))
  const found = await measureInTurns(bench, contestants, ({ kind }) => measure(bench, kind, times))
  const rows = (toRow: (named: Pick<Contestant, 'name' | 'note'>, rounds: readonly Figures[]) => Row) =>
    [...found].map(([contestant, rounds]) => toRow(contestant, rounds))
  const delaySection = (title: string, method: string, pick: (delays: Delays) => readonly number[]): Section => ({
    title,
    method,
    unit: 'ms, p99',
    better: 'lower',
    rows: rows((named, rounds) => delayRow(named, rounds, pick)),
    baseline,
  })
  return [
    {
      title: 'From the request to the receiver: capacity',
      method: capacityMethod(times),
      unit: 'jobs/s',
      better: 'higher',
      rows: rows(({ name, note }, rounds) => ({
        contestant: name,
        note,
        values: rounds.map(({ capacity }) => capacity),
      })),
      baseline,
    },
    delaySection('From the settled result to the receiver', delayMethod(times), ({ toReceiver }) => toReceiver),
    delaySection(
      'From the settled result to the line of a stream',
      'Of the same jobs, until the process that follows `GET /v1/events` has read the line.',
      ({ toReader }) => toReader,
    ),
  ]
}

async function measure({ servers }: Bench, kind: Carrier['kind'], times: Times): Promise<Figures> {
  const chain = await startTellingChain(servers, kind)
  try {
    const capacity = await chain.measureCapacity(times)
    return { capacity, delays: await chain.measureDelays(capacity * load, times) }
  } finally {
    await chain.stop()
  }
}

function delayRow(
  { name, note }: Pick<Contestant, 'name' | 'note'>,
  rounds: readonly Figures[],
  pick: (delays: Delays) => readonly number[],
): Row {
  const at = (percent: number) => rounds.map(({ delays }) => percentile(pick(delays), percent))
  return {
    contestant: name,
    note,
    values: at(99),
    further: {
      p50: at(50),
      'p99.9': at(99.9),
      'jobs/s': rounds.map(({ delays }) => delays.perSecond),
      'sent late, p99': rounds.map(({ delays }) => delays.lagMs),
    },
  }
}

function capacityMethod({ warmUpMs, measuredMs }: Times): string {
  return `\
One process sends requests, one takes them over HTTP, one runs the jobs, which do nothing, and brings their events to the one endpoint, one receives them and answers 200 at
once, and one follows the stream of all events. Counted are the jobs that were both accepted and delivered in ${measuredMs / 1_000} s after ${warmUpMs / 1_000} s of warm-up, over 100 connections, with at most 500 on
their way between the two. The endpoint has the defaults: at most 50 deliveries of it are made at a time.`
}

function delayMethod({ warmUpMs, measuredMs }: Times): string {
  return `\
The same processes under a steady load of half of the capacity that they had shown just before, ${measuredMs / 1_000} s after ${warmUpMs / 1_000} s of warm-up. The clock, one for all processes, runs
from the moment at which the worker knows that the result is committed, until the last byte of the first attempt has come to the receiver. Milliseconds. Every job was
settled, received and read.`
}
