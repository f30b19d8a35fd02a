import { positionOf, type Follower } from '../../load/follower.ts'
import type { Stage } from '../../stage/stage.ts'
import { until } from '../../until.ts'
import type { TrialContext } from '../trial.ts'

/** An event and its place. */
interface Placed {
  readonly position: number
  readonly id: string
}

/** Time in which every event has its place, and readers have come to the end, in milliseconds. */
const readWithinMs = 30_000

/**
 * Compares what readers who began with the first event were told with the tables: every event has one place, places have no gap, and
 * everybody was told all of them in their order. Nothing may happen any more.
 */
export async function expectWholeStream(
  context: TrialContext,
  stage: Stage,
  followers: readonly Follower[],
): Promise<void> {
  const head = await until('every event has its place', () => headOfWhole(stage), readWithinMs)
  const placed = await readPlaces(stage)
  const gap = placed.findIndex(({ position }, index) => position !== index + 1)
  context.expect(gap === -1, 'I4', `Where place ${gap + 1} should be, the stream has ${placed[gap]?.position}`)
  context.expect(placed.length === head, 'I4', `${placed.length} events have places up to ${head}`)
  const ids = new Set(placed.map(({ id }) => id))
  context.expect(ids.size === placed.length, 'I4', `${placed.length} places are those of ${ids.size} events`)
  for (const follower of followers) {
    await until(
      `${follower.name} has come to the end`,
      () => positionOf(follower.messages.at(-1)) >= head,
      readWithinMs,
    ).catch(
      () => {}, // what it was not told is found below
    )
    judge(context, follower, placed)
  }
}

function judge(context: TrialContext, { name, messages }: Follower, placed: readonly Placed[]): void {
  const events = messages.filter(({ type }) => type.startsWith('job.'))
  const wrong = placed.findIndex(({ position, id }, index) => {
    const event = events[index]
    return positionOf(event) !== position || event?.data.data?.id !== id
  })
  const told = events[wrong]
  context.expect(
    wrong === -1 && events.length === placed.length,
    'I4',
    `${name} was told of ${events.length} of ${placed.length} events` +
      (wrong === -1
        ? ''
        : `; where ${JSON.stringify(placed[wrong])} should be, of ${told?.id} ${JSON.stringify(told?.data)}`),
  )
  const resets = messages.filter(({ type }) => type === 'reset')
  context.expect(resets.length === 0, 'I4', `${name} was told of a gap: ${JSON.stringify(resets[0])}`)
}

/** @returns the last place, once no event is without one. */
async function headOfWhole({ db }: Stage): Promise<number | undefined> {
  const [row] = await db.sql<{ head: number; unplaced: number }[]>`
    select head::float8 as head, (select count(*)::int from endings where position is null and events > 0)
      + (select count(*)::int from outbox where position is null and data is not null) as unplaced from stream`
  return row?.unplaced === 0 ? row.head : undefined
}

async function readPlaces({ db }: Stage): Promise<readonly Placed[]> {
  return db.sql<Placed[]>`
    select (e.position - e.events + member.place)::float8 as position, member.id
    from endings e cross join lateral unnest(e.job_ids) with ordinality as member (id, place) where e.position is not null
    union all
    select position::float8, id from outbox where position is not null
    order by position`
}
