import type { PartSection, Row, Section } from '../bench.ts'
import { median, medianRatio } from '../statistics.ts'

/** Everything that a run found: what its Markdown and the charts are made from. */
export interface Results {
  readonly commit: string
  /** RFC 3339 in UTC. */
  readonly date: string
  /** What it ran on, and with which versions and settings, by name. */
  readonly machine: Readonly<Record<string, string>>
  readonly sections: readonly PartSection[]
}

/** What is said about a row. */
export interface Summary {
  readonly contestant: string
  readonly note: string
  readonly median: number
  readonly least: number
  readonly greatest: number
  /** Median of the ratios to the baseline, round by round. */
  readonly ratio: number
  /** Medians of the further figures, by the heading of their column. */
  readonly further: ReadonlyMap<string, number>
}

/** @throws RangeError when the section's baseline is none of its rows. */
export function summarize({ rows, baseline, title }: Section): Summary[] {
  const base = rows.find(({ contestant }) => contestant === baseline)
  if (!base) throw new RangeError(`"${title}" has no row "${baseline}"`)
  return rows.map((row) => summarizeRow(row, base))
}

function summarizeRow({ contestant, note, values, further = {} }: Row, base: Row): Summary {
  return {
    contestant,
    note,
    median: median(values),
    least: Math.min(...values),
    greatest: Math.max(...values),
    ratio: medianRatio(values, base.values),
    further: new Map(Object.entries(further).map(([heading, figures]) => [heading, median(figures)])),
  }
}
