import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { renderErd } from './erd.ts'

const document = renderErd()

it('docs/erd.md is what the schema says: else run `node scripts/erd.ts`', async () => {
  expect(await readFile(new URL('../docs/erd.md', import.meta.url), 'utf8')).toBe(document)
})

it('The drawing shows columns with their types, keys and nulls', () => {
  expect(document).toContain('    uuid id PK\n    text tenant\n')
  expect(document).toContain('    timestamptz finished_at "may be null"\n')
  expect(document).toContain('  attempts {\n    uuid job_id PK\n    integer epoch PK\n')
})

it('The drawing links what has no foreign key', () => {
  expect(document).toContain('  jobs ||..o{ attempts : "job_id"\n')
  expect(document).toContain('  workers |o..o{ jobs : "worker_id"\n')
  expect(document).toContain('  jobs |o..o{ jobs : "redrive_of"\n')
})

it('The table of indexes shows their predicates', () => {
  expect(document).toContain('| jobs | jobs_due | due_at | `due_at is not null` |')
})
