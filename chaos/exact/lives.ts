import { setTimeout as delay } from 'node:timers/promises'
import { suspectCrashes } from '@jobyard/db/live'
import { queues } from './handlers.ts'
import { ends, type Submission, type Trial } from './trial.ts'

/** What jobs go through from their submission to their end, and what people do to them meanwhile. */
export interface Life {
  readonly name: string
  /** Takes several seconds even if nothing fails. */
  readonly long?: boolean
  /** Plays the life; its jobs may end later. */
  play(trial: Trial): Promise<void>
}

const lane = 'default'
const echo: Submission = { type: 'echo', end: ends.completed }
const many = (count: number, submission: Submission) => Array.from({ length: count }, () => submission)

/** Submits a job that nobody starts, and lets the queue go on after something has happened to it. */
async function whilePaused(trial: Trial, submission: Submission, happens: (id: string) => Promise<void>) {
  await trial.setPaused(lane, true)
  const id = await trial.submit(submission)
  await happens(id)
  await trial.setPaused(lane, false)
}

/** Everything that can happen to a job, a life each. */
export const lives: readonly Life[] = [
  { name: 'completes', play: async (trial) => void (await trial.submit(echo)) },
  { name: 'with an idempotency key', play: async (trial) => void (await trial.submit({ ...echo, key: 'key' })) },
  {
    name: 'with a deduplication key',
    play: async (trial) => void (await trial.submit({ ...echo, key: 'key', more: { deduplicationKey: 'one' } })),
  },
  {
    name: 'in a batch',
    play: async (trial) => void (await trial.submitAll([...many(3, echo), { ...echo, key: 'of one item' }])),
  },
  { name: 'in a stream', play: async (trial) => void (await trial.submitAll(many(6, echo), true)) },
  {
    name: 'in packed tickets of which parts are passed on',
    play: async (trial) => void (await trial.submitAll(many(24, echo))),
  },
  {
    name: 'with a priority',
    play: async (trial) => void (await trial.submitAll(many(3, { ...echo, more: { priority: 5 } }))),
  },
  { name: 'scheduled', play: async (trial) => void (await trial.submit({ ...echo, more: { delayMs: 300 } })) },
  {
    name: 'awaited',
    play: async (trial) => void (await trial.submit(echo, { prefer: 'wait=20' })),
  },
  {
    name: 'looked at',
    play: async (trial) => {
      const id = await trial.submit(echo)
      for (const path of [`/v1/jobs/${id}`, '/v1/jobs?limit=2', `/v1/queues/${lane}`, '/readyz'])
        await trial.call({ method: 'GET', path })
    },
  },
  {
    name: 'retried',
    play: async (trial) => void (await trial.submit({ ...echo, end: ends.retried, input: { failTimes: 1 } })),
  },
  { name: 'fails', play: async (trial) => void (await trial.submit({ type: 'act', act: 'fail', end: ends.hopeless })) },
  {
    name: 'times out',
    play: async (trial) =>
      void (await trial.submit({
        type: 'act',
        act: 'wait',
        end: ends.timedOut,
        more: { timeoutMs: 150, maxAttempts: 1 },
      })),
  },
  {
    name: 'snoozes',
    play: async (trial) => void (await trial.submit({ type: 'act', act: 'snooze', end: ends.completed })),
  },
  {
    name: 'reports progress',
    play: async (trial) => void (await trial.submit({ type: 'act', act: 'report', end: ends.completed })),
  },
  {
    name: 'writes in its transaction',
    play: async (trial) => void (await trial.submit({ type: 'act', act: 'write', end: ends.writing })),
  },
  {
    name: 'of a batched type, with one that fails',
    play: async (trial) => {
      const [ok, bad] = [ends.completed, ends.hopeless].map((end) => ({ type: 'batch.apart', end }))
      if (ok && bad) await trial.submitAll([ok, ok, { ...bad, act: 'fail' }, ok])
    },
  },
  {
    name: 'of a batched type, in one transaction with one that fails',
    play: async (trial) => {
      const ok = { type: 'batch.together', end: ends.writing }
      await trial.submitAll([ok, { type: 'batch.together', act: 'fail', end: ends.hopeless }, ok])
    },
  },
  {
    name: 'cancelled while it is queued',
    play: (trial) => whilePaused(trial, { ...echo, key: 'key', end: ends.cancelled }, (id) => trial.cancel(id)),
  },
  {
    name: 'cancelled while it runs',
    play: async (trial) => {
      const id = await trial.submit({ type: 'act', act: 'wait', key: 'key', end: ends.cancelled })
      await trial.begun(id)
      await trial.cancel(id)
    },
  },
  {
    name: 'redriven',
    play: async (trial) => {
      const id = await trial.submit({
        ...echo,
        key: 'key',
        end: ends.cancelled,
        redrivenEnd: ends.completed,
        more: { delayMs: 60_000 },
      })
      await trial.cancel(id)
      const answer = await trial.call({ method: 'POST', path: `/v1/jobs/${id}/redrive` })
      trial.noteAccepted(answer, trial.accepted.get(id) ?? '')
    },
  },
  {
    name: 'held up by a pause',
    play: (trial) => whilePaused(trial, echo, () => delay(50)),
  },
  {
    name: 'expires',
    play: (trial) =>
      whilePaused(
        trial,
        { ...echo, end: ends.expired, more: { expiresAt: new Date(Date.now() + 250).toISOString() } },
        () => delay(300),
      ),
  },
  {
    name: 'a suspect',
    play: (trial) =>
      whilePaused(trial, { ...echo, crashes: suspectCrashes }, async (id) => {
        const { sql } = trial.lane
        await sql`update arrivals set suspect = true where ${id} = any(job_ids)`
        await sql`update jobs set crashes = ${suspectCrashes} where id = ${id}`
      }),
  },
  {
    name: 'handed back by a worker that stops',
    play: async (trial) => {
      const leaving = await trial.startWorker('leaving')
      const id = await trial.submit({ type: queues.aside, act: 'stay', end: ends.completed })
      await trial.begun(id)
      await trial.stopWorker(leaving, 50)
      const successor = await trial.startWorker('successor')
      await trial.ended()
      await trial.stopWorker(successor, 1_000)
    },
  },
  {
    name: 'orphaned by a worker that is declared dead',
    long: true,
    play: (trial) => outliveWorker(trial, 'stay'),
  },
  {
    name: 'settled too late by a worker that was declared dead',
    long: true,
    play: (trial) => outliveWorker(trial, 'be late'),
  },
  {
    name: 'whose ticket is lost',
    long: true,
    play: (trial) => whilePaused(trial, echo, () => trial.lane.loseTickets()),
  },
]

/** Holds the heartbeats of a worker back until another one has run its job. */
async function outliveWorker(trial: Trial, act: string): Promise<void> {
  const doomed = await trial.startWorker('doomed')
  const id = await trial.submit({ type: queues.aside, act, end: ends.completed, crashes: 1 })
  await trial.begun(id)
  trial.scene.mayOverlap = true
  const release = trial.lane.switchboard.holdBack('record/doomed/beat')
  try {
    const successor = await trial.startWorker('successor')
    await trial.ended()
    if (act === 'be late') await trial.scene.drop()
    await trial.stopWorker(successor, 1_000)
  } finally {
    release()
  }
  await trial.stopWorker(doomed, 0)
}
