/** How far a reader has come in the stream. */
export interface Place {
  readonly position: number
  /** Timeline of Postgres in which that is its position. */
  readonly timeline: number
}

/** Timeline of a Postgres whose place was never taken by a standby. */
const firstTimeline = 1

/** A place as the `id` of a message: the position, and after a failover the timeline too. */
export function idOf({ position, timeline }: Place): string {
  return timeline === firstTimeline ? String(position) : `${position}-${timeline}`
}

/** @returns the place that an `id` stands for, or undefined when it is none. */
export function placeOf(id: string): Place | undefined {
  const [, position, timeline = firstTimeline] = /^(\d{1,15})(?:-(\d{1,9}))?$/.exec(id) ?? []
  return position === undefined ? undefined : { position: Number(position), timeline: Number(timeline) }
}

/**
 * @param now the head of the stream, and the timeline.
 * @returns where to go on when positions after the place may mean other events than they did; undefined when they do not.
 */
export function rewound(place: Place, now: { readonly head: number; readonly timeline: number }): number | undefined {
  const isSame = place.timeline === now.timeline && place.position <= now.head
  return isSame ? undefined : Math.min(place.position, now.head)
}
