import type { Filter } from './subscription.ts'
import type { ReceiverSpec } from './desk.ts'
import type { Kind } from './kinds.ts'

/** A receiver, and what its endpoint wants. */
export interface Guest {
  readonly spec: ReceiverSpec
  readonly filter: Filter
}

const healthyToAll = 4
const healthyByTag = 12
const healthyByType = 4
/** The type of a tenth of the jobs. */
export const rareType = 'github.event'
export const tags = Array.from({ length: healthyByTag }, (_, index) => `tag-${index + 1}`)
/** A small share of all jobs, for those who take what they get, but cost more, or take their time. */
const few: Filter = { tags: tags.slice(0, 1), jobTypes: [rareType] }

/** Receivers that misbehave: how many of each kind. */
const misbehaving: readonly (readonly [Kind, number, Filter?])[] = [
  ['black hole', 5],
  ['one byte a second', 3],
  ['10,000 headers', 3],
  ['endless body', 2, few],
  ['gzip bomb', 2, few],
  ['slow but right', 1, few],
  ['gone (410)', 2],
  ['too many (429)', 3],
  ['moved (301)', 1],
  ['moved (302)', 1],
  ['moved (307)', 1],
  ['moved (308)', 1],
  ['resets the connection', 3],
  ['certificate expired', 2],
]

/** Receivers that are healthy, all of which hear of every job. @param count of them. */
export function healthy(count = healthyToAll): Guest[] {
  return guests('healthy', count)
}

/** 20 receivers that are healthy, and 30 that are not. */
export function crowd(): Guest[] {
  return [
    ...healthy(),
    ...tags.map((tag): Guest => ({ spec: { name: `healthy for ${tag}`, kind: 'healthy' }, filter: { tags: [tag] } })),
    ...guests('healthy', healthyByType, { jobTypes: [rareType] }, `healthy for ${rareType}`),
    ...misbehaving.flatMap(([kind, count, filter]) => guests(kind, count, filter)),
  ]
}

/** Those who hold a delivery for long: what others could have to wait for. */
export function slowOnes(): Guest[] {
  return [...guests('black hole', 6), ...guests('one byte a second', 2), ...guests('slow but right', 2)]
}

function guests(kind: Kind, count: number, filter: Filter = {}, name: string = kind): Guest[] {
  return Array.from({ length: count }, (_, index) => ({ spec: { name: `${name} ${index + 1}`, kind }, filter }))
}
