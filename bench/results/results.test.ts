import { stripVTControlCharacters } from 'node:util'
import { expect, it } from 'vitest'
import type { Section } from '../bench.ts'
import { drawChart } from './chart.ts'
import { formatFigure, formatSection } from './format.ts'
import { chartFile, renderMarkdown, type Heading } from './markdown.ts'

const section: Section = {
  title: 'Processing & no-op jobs',
  method: 'They take turns.',
  unit: 'jobs/s',
  better: 'higher',
  baseline: 'rival',
  rows: [
    {
      contestant: 'Jobyard <Redis>',
      note: 'records',
      values: [20_000, 3_000, 30_000],
      further: { 'p99, ms': [1, 2, 9] },
    },
    { contestant: 'rival', note: 'records nothing', values: [10_000, 1_000, 20_000] },
  ],
}
const heading: Heading = { title: 'Benchmark results', command: 'npm run bench', figures: 'results.json' }
const results = {
  commit: '123456789abc',
  date: '2026-11-21T03:00:00.000Z',
  machine: { CPU: 'a fast one, 2 cores', Node: '24.21.0' },
  sections: [{ ...section, part: 'process' }],
}

it.each([
  [12_345.6, '12,346'],
  [100, '100'],
  [56.78, '56.8'],
  [0.8912, '0.891'],
  [0, '0'],
])('writes %d as %s', (value, text) => {
  expect(formatFigure(value)).toBe(text)
})

it('shows median, spread, the median of the ratios of each round and further medians', () => {
  expect(formatSection(section).map(stripVTControlCharacters)).toEqual([
    'Processing & no-op jobs',
    '                 jobs/s  least – greatest  × rival  p99, ms',
    'Jobyard <Redis>  20,000    3,000 – 30,000    2.00×     2.00',
    'rival            10,000    1,000 – 20,000    1.00×        –',
  ])
})

it('renders every section with its method, chart, table and notes', () => {
  const text = renderMarkdown(heading, results)
  expect(text).toContain('Made by `npm run bench` at commit `123456789abc` on 2026-11-21')
  expect(text).toContain('in [results.json](results.json).')
  expect(text).toContain('| CPU | a fast one, 2 cores |')
  expect(text).toContain('## Processing & no-op jobs\n\nThey take turns.\n\n![')
  expect(text).toContain('(charts/processing-no-op-jobs.svg)')
  expect(text).toContain('| Jobyard <Redis> | **20,000** | 3,000 – 30,000 | 2.00× | 2.00 | records |')
  expect(text).toContain('Higher is better.')
})

it('renders the same text from what was read back from JSON', () => {
  expect(renderMarkdown(heading, JSON.parse(JSON.stringify(results)))).toBe(renderMarkdown(heading, results))
})

it('refuses a section whose baseline was not measured', () => {
  expect(() => formatSection({ ...section, baseline: 'nobody' })).toThrow('has no row "nobody"')
})

it('draws a bar and a whisker for each contestant, and escapes what is written', () => {
  const svg = drawChart(section)
  expect(svg.match(/class="bar/g)).toHaveLength(2)
  expect(svg.match(/class="whisker"/g)).toHaveLength(2)
  expect(svg).toContain('Jobyard &lt;Redis>')
  expect(svg).toContain('Processing &amp; no-op jobs')
  expect(svg).not.toContain('NaN')
})

it('names a chart after its section', () => {
  expect(chartFile({ ...section, title: "Latency at 50 % of each contestant's capacity" })).toBe(
    'latency-at-50-of-each-contestant-s-capacity.svg',
  )
})
