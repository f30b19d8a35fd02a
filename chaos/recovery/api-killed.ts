import { setTimeout as delay } from 'node:timers/promises'
import { newEntry, seen, submit, timed, warmUp } from '../rows/servers/submission.ts'
import type { TrialContext } from '../rows/trial.ts'
import { carrierLink } from '../stage/carrier.ts'
import type { Stage } from '../stage/stage.ts'

/** Time from the death of an API to the start of a job whose ticket it has not sent, in milliseconds. */
const boundMs = 15_000
const victims = 4
/** Time over which the deaths of a round are spread, in milliseconds: the pause between two probes. */
const spreadMs = 5_000

type Apart = Awaited<ReturnType<Stage['enlistApart']>>

/** Kills APIs that have committed a job and could not send its ticket, several in a round, and waits for the jobs to start. */
export async function apiKilled(context: TrialContext, times: number): Promise<void> {
  const stage = await context.stage({ apis: 1, workers: 1 })
  const mortal: Apart[] = []
  for (let count = 0; count < Math.min(victims, times); count++) mortal.push(await stage.enlistApart('api'))
  await Promise.all(mortal.map(({ member }) => member.start()))
  await warmUp(context, stage)
  for (let killed = 0; killed < times; killed += mortal.length) {
    await Promise.all(
      mortal.map(async (api) => {
        await api.member.working()
        await delay(context.random.int(0, spreadMs))
        await killOne(context, stage, api)
      }),
    )
  }
  await context.endWell(stage)
}

async function killOne(context: TrialContext, stage: Stage, { member, links }: Apart): Promise<void> {
  const [link, only] = carrierLink(links)
  link.freeze(only)
  const entry = newEntry(context)
  const answer = await submit(context, entry, member.url)
  const acceptedAt = Date.now()
  await member.kill()
  link.heal(true)
  context.injected('API killed between commit and ticket')
  if (answer?.status !== 202) return context.expect(false, 'I1', `A job was answered with ${answer?.status}`)
  const { startedAt } = await seen(stage, entry, 'starts', (job) => job.startedAt !== null, 60_000)
  timed(context, 'API killed between commit and ticket, until its job starts', Number(startedAt) - acceptedAt, boundMs)
}
