import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { problemKinds } from './problem.ts'

it('docs/http.md tells of every problem how to mend it', async () => {
  const page = await readFile(new URL('../docs/http.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `([a-z-]+)` +\| (\d{3}) +\| \S.+ \|$/gm)].map(
    ([, kind, status]) => `${kind} ${status}`,
  )
  expect(rows.toSorted()).toEqual(problemKinds.map(({ kind, status }) => `${kind} ${status}`).toSorted())
})
