import { execFile } from 'node:child_process'
import { mkdir, readdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Programs } from './stage.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)
/** Commits among which one is whole. */
const mostTried = 20

/** The platform as it was at an earlier commit. */
export interface EarlierVersion {
  readonly commit: string
  readonly programs: Programs
  /** Brings a database to the schema of this version. */
  migrate(databaseUrl: string): Promise<void>
}

/** @returns the commits with the present schema, oldest first, and those before it, newest first. @throws Error without the history. */
export async function findSchemaCommits(): Promise<{ since: string[]; before: string[] }> {
  const [commit] = await commitsOf('-1', '--diff-filter=A', 'HEAD', '--', 'db/migrations/*.sql')
  if (!commit) throw new Error('Earlier versions are not here: get the whole history, git fetch --unshallow')
  return { since: await commitsOf('--reverse', `${commit}^..HEAD`), before: await commitsOf(`${commit}^`) }
}

async function commitsOf(...words: string[]): Promise<string[]> {
  const { stdout } = await git('log', '--first-parent', '--format=%H', ...words)
  return stdout.split('\n').filter(Boolean)
}

/** Unpacks the first of some commits that is whole: not each one of a history is. @throws Error when none of the first few is. */
export async function unpackFirstWhole(commits: readonly string[], folder: string): Promise<EarlierVersion> {
  for (const commit of commits.slice(0, mostTried)) {
    const version = await unpack(commit, folder)
    if (await isWhole(folder)) return version
    await rm(folder, { recursive: true })
  }
  throw new Error(`None of ${commits.length} commits is whole, or the first ${mostTried} are not`)
}

/** Whether what its processes consist of can be loaded. */
async function isWhole(folder: string): Promise<boolean> {
  const load = ['api/serve.ts', 'workers/work.ts'].map((file) => `await import(${JSON.stringify(join(folder, file))})`)
  const words = ['--input-type=module', '--eval', `${load.join(';')};process.exit()`]
  return run(process.execPath, words).then(
    () => true,
    () => false,
  )
}

/** Unpacks the tree of a commit into a folder, beside the packages that are installed here. */
async function unpack(commit: string, folder: string): Promise<EarlierVersion> {
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
