import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** A program that tests run, and how people get it. */
export interface Program {
  /** Names under which it may be on the PATH, the best first. */
  readonly names: readonly string[]
  readonly debianPackage: string
  readonly brewPackage: string
}

export const chromium: Program = {
  names: ['chromium', 'chromium-browser', 'google-chrome'],
  debianPackage: 'chromium',
  brewPackage: 'chromium',
}
export const redisServer: Program = {
  names: ['redis-server', 'valkey-server'],
  debianPackage: 'redis-server',
  brewPackage: 'redis',
}

/**
 * Finds a program, or installs Debian's package when this is root on Debian.
 *
 * @returns its path.
 * @throws Error with the command to run when it is neither there nor to be installed.
 */
export async function findOrInstall(program: Program): Promise<string> {
  return (await findFirst(program.names)) ?? install(program)
}

async function install({ names, debianPackage, brewPackage }: Program): Promise<string> {
  const aptGet = process.getuid?.() === 0 ? await findFirst(['apt-get']) : undefined
  if (!aptGet) {
    throw new Error(
      `The tests need ${names.join(' or ')}: run \`sudo apt-get install ${debianPackage}\` (macOS: \`brew install ${brewPackage}\`).`,
    )
  }
  process.stdout.write(`Installing ${debianPackage} for the tests: apt-get update, apt-get install ${debianPackage}\n`)
  const run = promisify(execFile)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  await run(aptGet, ['update', '-q'], { env })
  await run(aptGet, ['install', '-q', '-y', '--no-install-recommends', debianPackage], {
    env,
    maxBuffer: 64 * 1_048_576,
  })
  const installed = await findFirst(names)
  if (!installed) throw new Error(`apt-get installed ${debianPackage}, but it is not on the PATH.`)
  return installed
}

async function findFirst(names: readonly string[]): Promise<string | undefined> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/local/bin']
  for (const file of names.flatMap((name) => folders.map((folder) => join(folder, name)))) {
    if (await isExecutable(file)) return file
  }
  return undefined
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  )
}
