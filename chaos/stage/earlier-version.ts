import { execFile } from 'node:child_process'
import { mkdir, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Programs } from './stage.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

/** The platform as it was at an earlier commit. */
export interface EarlierVersion {
  readonly commit: string
  readonly programs: Programs
  /** Brings a database to the schema of this version. */
  migrate(databaseUrl: string): Promise<void>
}

/** @returns the first commit with the present schema, and the last one with the schema before it. @throws Error without the history. */
export async function findSchemaCommits(): Promise<{ first: string; before: string }> {
  const { stdout } = await git('log', '-1', '--diff-filter=A', '--format=%H %P', '--', 'db/migrations/*.sql')
  const [first, before] = stdout.trim().split(' ')
  if (!first || !before) throw new Error('Earlier versions are not here: get the whole history, git fetch --unshallow')
  return { first, before }
}

/** Unpacks the tree of a commit into a folder, beside the packages that are installed here. */
export async function unpack(commit: string, folder: string): Promise<EarlierVersion> {
  await mkdir(folder)
  const archive = `${folder}.tar`
  await git('archive', `--output=${archive}`, commit)
  await run('tar', ['-xf', archive, '-C', folder])
  await linkPackages(folder)
  return {
    commit: commit.slice(0, 12),
    programs: { api: join(folder, 'api/main.ts'), workers: join(folder, 'workers/main.ts') },
    migrate: async (databaseUrl) => {
      const env = { ...process.env, DATABASE_URL: databaseUrl }
      await run(process.execPath, [join(folder, 'scripts/migrate.ts')], { env })
    },
  }
}

/** Packages of others are those of this tree; the platform's own are those of the folder. */
async function linkPackages(folder: string): Promise<void> {
  const [here, there] = [join(root, 'node_modules'), join(folder, 'node_modules')]
  await mkdir(join(there, '@jobyard'), { recursive: true })
  const packages = (await readdir(here)).filter((name) => name !== '@jobyard' && name !== '.bin')
  await Promise.all(packages.map((name) => symlink(join(here, name), join(there, name))))
  const own = await readdir(join(here, '@jobyard'))
  await Promise.all(own.map((name) => symlink(join(folder, name), join(there, '@jobyard', name))))
}

function git(...words: string[]) {
  return run('git', words, { cwd: root })
}
