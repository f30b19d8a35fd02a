import type { Database } from '@jobyard/db/connect'
import type { Entry } from './load/ledger.ts'

/** Faults as they were injected and healed. */
export type NemesisLog = readonly { readonly at: Date; readonly what: string }[]

/** Time around a job's life from which faults are told, in milliseconds. */
const aroundMs = 30_000

/**
 * Tells the life of one job from every side: what the client saw, what the record says, and which faults were active.
 *
 * @returns one line per event, oldest first; those without a time come last.
 */
export async function timelineOf(
  { sql }: Database,
  id: string | undefined,
  entry: Entry | undefined,
  log: NemesisLog,
): Promise<string[]> {
  const lines: { at: Date; what: string }[] = []
  const untimed: string[] = []
  const clientTime = (at: number) => new Date(performance.timeOrigin + at)
  if (entry) {
    lines.push({ at: clientTime(entry.sentAt), what: `client sends ${entry.key}: ${JSON.stringify(entry.wish)}` })
    if (entry.acceptedAt !== undefined)
      lines.push({ at: clientTime(entry.acceptedAt), what: `client is told ${entry.id}` })
    untimed.push(...entry.seen.map((seen) => `client saw before: ${seen}`))
    if (entry.cancel) untimed.push(`cancellation: ${entry.cancel}`)
  }
  if (id !== undefined) {
    const [job] = await sql`select * from jobs where id = ${id}`
    if (job) {
      for (const name of ['createdAt', 'startedAt', 'ticketedAt', 'cancelRequestedAt', 'finishedAt'] as const) {
        if (job[name]) lines.push({ at: job[name] as Date, what: `row: ${name}` })
      }
      untimed.push(`row: ${JSON.stringify(job)}`)
    }
    for (const each of await sql`select * from attempts where job_id = ${id}`) {
      const { startedAt, finishedAt, ...rest } = each as unknown as { startedAt: Date; finishedAt: Date }
      lines.push({ at: startedAt, what: `attempt begins: ${JSON.stringify(rest)}` })
      if (finishedAt) lines.push({ at: finishedAt, what: 'attempt ends' })
    }
    for (const event of await sql`select type, occurred_at from outbox where job_id = ${id}`) {
      lines.push({ at: event['occurredAt'] as Date, what: `event ${String(event['type'])}` })
    }
  }
  const times = lines.map(({ at }) => at.getTime())
  const [first, last] = [Math.min(...times) - aroundMs, Math.max(...times) + aroundMs]
  lines.push(...log.filter(({ at }) => at.getTime() >= first && at.getTime() <= last).map(nemesis))
  const timed = lines.toSorted((a, b) => a.at.getTime() - b.at.getTime())
  return [...timed.map(({ at, what }) => `${at.toISOString()}  ${what}`), ...untimed]
}

function nemesis({ at, what }: NemesisLog[number]) {
  return { at, what: `* ${what}` }
}
