import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { mutations, type Mutation } from './mutations.ts'

/** Whether a deliberate break was noticed, and by which promise. */
export interface Caught {
  readonly mutation: Mutation
  readonly caught: boolean
  /** The line that says what was broken, or the last lines if none does. */
  readonly how: string
}

const root = fileURLToPath(new URL('..', import.meta.url))

/** Breaks a copy of this repository in one way after the other, and lets the part that must notice look at it. */
export async function* tryMutations(seed: number, minutes: number): AsyncIterable<Caught> {
  const copy = await copyRepository()
  try {
    for (const mutation of mutations) yield await tryMutation(copy, mutation, seed, minutes)
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}

async function tryMutation(copy: string, mutation: Mutation, seed: number, minutes: number): Promise<Caught> {
  const file = join(copy, mutation.file)
  const source = await readFile(file, 'utf8')
  if (source.split(mutation.find).length !== 2) {
    throw new Error(
      `${mutation.file} does not hold exactly once what "${mutation.name}" replaces; mend chaos/mutations.ts`,
    )
  }
  await writeFile(
    file,
    source.replace(mutation.find, () => mutation.replace),
  )
  try {
    const part = mutation.row === undefined ? ['sequences'] : ['rows', '--row', String(mutation.row)]
    const words = [...part, '--carrier', 'redis', '--seed', String(seed), '--minutes', String(minutes)]
    const { code, output } = await run(join(copy, 'chaos/main.ts'), words)
    const broken = output.split('\n').filter((line) => line.includes(' broken: '))
    const told = broken.find((line) => line.includes(mutation.invariant)) ?? broken[0]
    return { mutation, caught: code !== 0 && told !== undefined, how: told ?? output.slice(-400) }
  } finally {
    await writeFile(file, source)
  }
}

/** Packages are shared, but for those of this repository: these must be the copy's. */
async function copyRepository(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'jobyard-mutations-'))
  const { stdout } = await promisify(execFile)(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    {
      cwd: root,
      maxBuffer: 16 * 1_048_576,
    },
  )
  for (const file of stdout.split('\0').filter(Boolean)) {
    await mkdir(dirname(join(copy, file)), { recursive: true })
    await cp(join(root, file), join(copy, file))
  }
  const [packages, own] = [join(copy, 'node_modules'), join(copy, 'node_modules/@jobyard')]
  await mkdir(own, { recursive: true })
  for (const name of await readdir(join(root, 'node_modules'))) {
    if (name !== '@jobyard') await symlink(join(root, 'node_modules', name), join(packages, name))
  }
  for (const name of await readdir(join(root, 'node_modules/@jobyard'))) {
    await symlink(join(copy, name), join(own, name))
  }
  return copy
}

async function run(file: string, words: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [file, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += String(data)))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}
