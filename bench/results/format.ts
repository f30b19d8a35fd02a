import { styleText } from 'node:util'
import type { Section } from '../bench.ts'
import { summarize } from './results.ts'

/** A section's figures as text: the same table for the terminal and for Markdown. */
export interface SectionTable {
  readonly headings: readonly string[]
  /** Per contestant its name, figures and note. */
  readonly rows: readonly { readonly contestant: string; readonly figures: readonly string[]; readonly note: string }[]
}

/** @returns a figure as exactly as one may trust it: `12,345`, `56.7`, `0.891`. */
export function formatFigure(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString('en-US')
  return value === 0 ? '0' : value.toPrecision(3)
}

/** Lays a section out: median, spread, ratio to the baseline, then the medians of its further figures. */
export function tabulate(section: Section): SectionTable {
  const summaries = summarize(section)
  const further = [...new Set(summaries.flatMap((summary) => [...summary.further.keys()]))]
  return {
    headings: [section.unit, 'least – greatest', `× ${section.baseline}`, ...further],
    rows: summaries.map((summary) => ({
      contestant: summary.contestant,
      figures: [
        formatFigure(summary.median),
        `${formatFigure(summary.least)} – ${formatFigure(summary.greatest)}`,
        `${summary.ratio.toFixed(2)}×`,
        ...further.map((heading) => {
          const figure = summary.further.get(heading)
          return figure === undefined ? '–' : formatFigure(figure)
        }),
      ],
      note: summary.note,
    })),
  }
}

/** @returns a section's table for the terminal, line by line. */
export function formatSection(section: Section): string[] {
  const { headings, rows } = tabulate(section)
  const lines = [['', ...headings], ...rows.map(({ contestant, figures }) => [contestant, ...figures])]
  const widths = ['', ...headings].map((_, at) => Math.max(...lines.map((cells) => cells[at]?.length ?? 0)))
  const [heading = '', ...rest] = lines.map((cells) =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  '),
  )
  return [styleText('bold', section.title), styleText('dim', heading), ...rest]
}
