import type { Section } from '../bench.ts'
import { formatFigure } from './format.ts'
import { summarize, type Summary } from './results.ts'

const width = 860
const labelWidth = 300
const figureWidth = 110
const rowHeight = 30
const top = 44
const barHeight = 16

/** Draws a section as an SVG: a bar to the median, a whisker from the least to the greatest. Readable in light and in dark. */
export function drawChart(section: Section): string {
  const summaries = summarize(section)
  const height = top + summaries.length * rowHeight + 8
  const scale = (width - labelWidth - figureWidth) / Math.max(...summaries.map(({ greatest }) => greatest))
  const rows = summaries.map((summary, at) => drawRow(summary, top + at * rowHeight, scale))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escape(section.title)}">
<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 }
  .bar { fill: #9aa7b5 }
  .ours { fill: #2f81f7 }
  .whisker { stroke: #57606a; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .bar { fill: #57606a }
    .whisker { stroke: #c9d1d9 }
  }
</style>
<text class="title" x="8" y="22">${escape(section.title)} (${escape(section.unit)}, ${section.better} is better)</text>
${rows.join('\n')}
</svg>
`
}

function drawRow({ contestant, median, least, greatest }: Summary, y: number, scale: number): string {
  const middle = y + rowHeight / 2
  const x = (value: number) => (labelWidth + value * scale).toFixed(1)
  const owner = contestant.startsWith('Jobyard') ? 'bar ours' : 'bar'
  return [
    `<text x="${labelWidth - 8}" y="${middle + 4}" text-anchor="end">${escape(contestant)}</text>`,
    `<rect class="${owner}" x="${labelWidth}" y="${middle - barHeight / 2}" width="${(median * scale).toFixed(1)}" height="${barHeight}" rx="2"/>`,
    `<path class="whisker" d="M${x(least)} ${middle}H${x(greatest)}M${x(least)} ${middle - 4}v8M${x(greatest)} ${middle - 4}v8"/>`,
    `<text x="${Number(x(greatest)) + 8}" y="${middle + 4}">${formatFigure(median)}</text>`,
  ].join('')
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
