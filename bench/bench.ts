/** Servers that all contestants share: Postgres with fsync on, Redis with appendfsync everysec. */
export interface Servers {
  /** Superuser's postgres://… of the database `postgres`. */
  readonly postgresUrl: string
  readonly redisUrl: string
  /** Process of Postgres that all its others are children of. */
  readonly postmasterPid: number
}

/** What a part of the benchmark is given. */
export interface Bench {
  readonly servers: Servers
  /** How often each contestant is measured; contestants take turns within a round. */
  readonly rounds: number
  /** A short run that shows that everything works; its figures mean little. */
  readonly quick: boolean
  /** Shows one line of progress. */
  tell(line: string): void
}

/** One contestant's figures, one per round. */
export interface Row {
  readonly contestant: string
  /** Settings and what it records, for the reader of the table. */
  readonly note: string
  readonly values: readonly number[]
  /** Further figures, one per round, by the heading of their column; shown as medians beside the value. */
  readonly further?: Readonly<Record<string, readonly number[]>>
}

/** One table and chart of the results. */
export interface Section {
  readonly title: string
  /** What was measured and how, in Markdown; said once above the table. */
  readonly method: string
  readonly unit: string
  readonly better: 'higher' | 'lower'
  readonly rows: readonly Row[]
  /** Contestant that the others are given as multiples of. */
  readonly baseline: string
}

/** A section, and the part of the benchmark that found it. */
export interface PartSection extends Section {
  readonly part: string
}

/** A part measures something and answers with its tables; it throws when a contestant did not do its work. */
export type Part = (bench: Bench) => Promise<Section[]>
