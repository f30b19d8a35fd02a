import { styleText } from 'node:util'

export interface Column<Row> {
  readonly title: string
  readonly cell: (row: Row) => string
  /** Numbers stand right, so that their digits line up. */
  readonly align?: 'left' | 'right'
}

/** @returns the lines of a table with a bold heading; each column is as wide as its widest cell. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ cell }) => cell(row)))]
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => line[at]?.length ?? 0)))
  const lines = cells.map((line) =>
    line
      .map((text, at) =>
        columns[at]?.align === 'left' ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
  return lines.map((line, at) => (at === 0 ? styleText('bold', line) : line))
}

/** @returns a whole number with thousands set apart: `12,345`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** @returns a duration as people read it: `8 ms`, `1.24 s`. */
export function formatDuration(milliseconds: number | undefined): string {
  if (milliseconds === undefined) return '–'
  return milliseconds < 1_000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1_000).toFixed(2)} s`
}
