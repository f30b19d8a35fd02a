import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as schema from '@jobyard/db/schema'
import { runProcess } from '@jobyard/queues/process'
import { is, SQL } from 'drizzle-orm'
import { getTableConfig, type IndexedColumn, PgDialect, PgTable } from 'drizzle-orm/pg-core'

type TableConfig = ReturnType<typeof getTableConfig>

/** A column that names a row of another table. The schema has no foreign keys, so these are written down here. */
interface Link {
  readonly from: string
  readonly to: string
  /** Cardinality in Mermaid's signs, the side of `to` first; dotted, since nothing enforces it. */
  readonly line: string
}

const links: readonly Link[] = [
  { from: 'attempts.job_id', to: 'jobs.id', line: '||..o{' },
  { from: 'deliveries.job_id', to: 'jobs.id', line: '||..o|' },
  { from: 'deliveries.endpoint_id', to: 'endpoints.id', line: '|o..o{' },
  { from: 'outbox.job_id', to: 'jobs.id', line: '|o..o{' },
  { from: 'idempotency_keys.job_id', to: 'jobs.id', line: '|o..o|' },
  { from: 'jobs.redrive_of', to: 'jobs.id', line: '|o..o{' },
  { from: 'jobs.worker_id', to: 'workers.id', line: '|o..o{' },
  { from: 'claims.worker_id', to: 'workers.id', line: '|o..o{' },
  { from: 'occurrences.schedule_id', to: 'schedules.id', line: '|o..o{' },
  { from: 'occurrences.job_id', to: 'jobs.id', line: '|o..o|' },
  { from: 'schedules.last_job_id', to: 'jobs.id', line: '|o..o|' },
  { from: 'arrivals.queue', to: 'queues.name', line: '||..o{' },
  { from: 'endings.queue', to: 'queues.name', line: '|o..o{' },
  { from: 'jobs.queue', to: 'queues.name', line: '||..o{' },
]

const file = fileURLToPath(new URL('../docs/erd.md', import.meta.url))

/**
 * Draws the tables of the schema, the links between them, and their indexes.
 *
 * @returns the text of docs/erd.md.
 * @throws Error when a link names a column that is not in the schema.
 */
export function renderErd(): string {
  const tables = Object.values(schema)
    .filter((each) => is(each, PgTable))
    .map((table) => getTableConfig(table))
  tables.sort((a, b) => (a.name < b.name ? -1 : 1))
  checkLinks(tables)
  return (
    [
      '# Tables',
      'Generated from `db/schema/` by `node scripts/erd.ts`. Do not edit; change the schema and generate again.',
      'There are no foreign keys: dotted lines are columns that name a row of another table, which may be gone by then.',
      fence('mermaid', ['erDiagram', ...tables.map(drawTable), ...links.map(drawLink)]),
      '## Indexes',
      markdownTable(['table', 'index', 'columns', 'only rows where'], tables.flatMap(describeIndexes)),
      '## Checks',
      markdownTable(['table', 'check', 'holds in every row'], tables.flatMap(describeChecks)),
    ].join('\n\n') + '\n'
  )
}

function checkLinks(tables: readonly TableConfig[]): void {
  const known = new Set(tables.flatMap(({ name, columns }) => columns.map((column) => `${name}.${column.name}`)))
  const missing = links.flatMap(({ from, to }) => [from, to]).find((column) => !known.has(column))
  if (missing) throw new Error(`scripts/erd.ts links ${missing}, which is not in db/schema: mend its list of links.`)
}

function drawTable({ name, columns, primaryKeys }: TableConfig): string {
  const keys = new Set(primaryKeys.flatMap((key) => key.columns.map((column) => column.name)))
  const lines = columns.map((column) => {
    const isKey = column.primary || keys.has(column.name)
    return `    ${typeOf(column.getSQLType())} ${column.name}${isKey ? ' PK' : ''}${column.notNull ? '' : ' "may be null"'}`
  })
  return [`  ${name} {`, ...lines, '  }'].join('\n')
}

/** Mermaid's types are single words. */
function typeOf(sqlType: string): string {
  return sqlType.replace('timestamp with time zone', 'timestamptz').replaceAll(' ', '_')
}

function drawLink({ from, to, line }: Link): string {
  const [fromTable, column] = from.split('.')
  const [toTable] = to.split('.')
  return `  ${toTable} ${line} ${fromTable} : "${column}"`
}

function describeIndexes({ name, indexes }: TableConfig): string[][] {
  return indexes.map(({ config }) => {
    const columns = config.columns.map(nameOf).join(', ')
    return [
      name,
      `${config.name}${config.unique ? ' (unique)' : ''}`,
      columns,
      config.where ? `\`${textOf(config.where)}\`` : '',
    ]
  })
}

function nameOf(column: Partial<IndexedColumn | SQL>): string {
  if (is(column, SQL)) return textOf(column)
  return 'name' in column && typeof column.name === 'string' ? column.name : ''
}

function describeChecks({ name, checks }: TableConfig): string[][] {
  return checks.map((constraint) => [name, constraint.name, `\`${textOf(constraint.value)}\``])
}

function textOf(sql: SQL): string {
  return new PgDialect().sqlToQuery(sql).sql
}

function fence(language: string, lines: readonly string[]): string {
  return ['```' + language, ...lines, '```'].join('\n')
}

function markdownTable(head: readonly string[], rows: readonly string[][]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** @throws Error when the document is not what the schema says. */
async function check(): Promise<void> {
  const kept = await readFile(file, 'utf8').catch(() => '')
  if (kept !== renderErd()) throw new Error('docs/erd.md is stale: run `node scripts/erd.ts` and commit it.')
}

if (import.meta.main)
  await runProcess(() => (process.argv.includes('--check') ? check() : writeFile(file, renderErd())))
