import type { Section } from '../bench.ts'
import { tabulate } from './format.ts'
import type { Results } from './results.ts'

/** @returns name of a section's chart, made of its title: `processing-no-op-jobs.svg`. */
export function chartFile({ title }: Section): string {
  const slug = title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  return `${slug.replaceAll(/^-|-$/g, '')}.svg`
}

/** What is said above the results. */
export interface Heading {
  readonly title: string
  /** Command line that made them. */
  readonly command: string
  /** Name of the file beside that has all figures. */
  readonly figures: string
}

/** Renders a report. Pure: the same results give the same text. */
export function renderMarkdown(
  { title, command, figures }: Heading,
  { commit, date, machine, sections }: Results,
): string {
  const facts = Object.entries(machine)
  const blocks = [
    `# ${title}`,
    `Made by \`${command}\` at commit \`${commit}\` on ${date.slice(0, 10)}. The figures of each round are in [${figures}](${figures}).`,
    table(['', ''], facts),
    `Contestants take turns: each is measured once a round, and each round begins with another one. Tables show medians over
the rounds. A multiple of the baseline is the median of the ratios within each round.`,
    ...sections.flatMap(renderSection),
  ]
  return `${blocks.join('\n\n')}\n`
}

function renderSection(section: Section): string[] {
  const { title, method, better } = section
  const { headings, rows } = tabulate(section)
  return [
    `## ${title}`,
    method,
    `![${title}](charts/${chartFile(section)})`,
    table(
      ['', ...headings, ''],
      rows.map(({ contestant, figures: [median = '', ...others], note }) => [
        contestant,
        `**${median}**`,
        ...others,
        note,
      ]),
    ),
    `${better === 'higher' ? 'Higher' : 'Lower'} is better.`,
  ]
}

/** The first column and the last are words, what is between them are figures. */
function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = headings.map((_, at) => (at === 0 || at === headings.length - 1 ? '---' : '---:'))
  return [headings, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
