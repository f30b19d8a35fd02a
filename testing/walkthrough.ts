import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

/** The folder that holds package.json. */
export const checkout = fileURLToPath(new URL('..', import.meta.url))

/** A fenced block of a Markdown document. */
export interface Block {
  /** First word after the fence. */
  readonly language: string
  /** The path in backticks on the line before the fence, if there is one. */
  readonly file: string | undefined
  readonly text: string
}

/** @returns the fenced blocks of a Markdown document, in order. */
export function readBlocks(markdown: string): Block[] {
  const blocks = markdown.matchAll(/(?<=^(?<before>.*)\n\n)```(?<language>\w+)\n(?<content>[^]*?)^```$/gm)
  return [...blocks].map(({ groups: { before = '', language = '', content = '' } = {} }) => ({
    language,
    file: /.*`([\w./-]+\.\w+)`/.exec(before)?.[1],
    text: content,
  }))
}

/** `npm start` at work. */
export interface StartedProgram {
  /** `host:port` of its API. */
  readonly host: string
  /**
   * Ends it as Ctrl-C does.
   *
   * @returns its exit code, and the pids that it left behind.
   */
  interrupt(): Promise<{ code: unknown; left: number[] }>
}

/**
 * Starts a checkout's `scripts/start.ts` with nothing configured but a free port, unless said otherwise, so that its home is `.jobyard` in `folder`.
 *
 * @throws Error with what it printed when it ends before it is up.
 */
export async function startProgram(
  folder: string,
  program = join(checkout, 'scripts/start.ts'),
  configuration: Readonly<Record<string, string>> = {},
): Promise<StartedProgram> {
  const env = { ...bareEnvironment(), PORT: '0', ...configuration }
  const child = spawn(process.execPath, [program], { cwd: folder, env })
  const host = await waitUntilUp(child)
  return {
    host,
    interrupt: async () => {
      const pids = await descendants(child.pid ?? 0)
      child.kill('SIGINT')
      const [code]: unknown[] = await once(child, 'exit')
      return { code, left: pids.filter(isAlive) }
    },
  }
}

/**
 * Runs lines as pasted into a shell, but against the started program instead of the default port.
 *
 * @returns what they print.
 * @throws Error with their output when one fails.
 */
export async function paste(lines: string, { folder, host = '' }: { folder: string; host?: string }): Promise<string> {
  return runToEnd('sh', ['-ec', lines.replaceAll(/(localhost|127\.0\.0\.1):3000/g, host)], folder)
}

/**
 * Runs a program in a folder.
 *
 * @returns what it prints.
 * @throws Error with its output when it fails.
 */
export async function runToEnd(program: string, args: readonly string[], folder: string): Promise<string> {
  const child = spawn(program, args, { cwd: folder, env: bareEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })
  const [printed, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${printed}${errors}`)
  return printed
}

/** Makes a temporary folder that the embedded Postgres may enter, whoever it runs as. */
export async function makeFolder(): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'jobyard-walkthrough-')))
  await chmod(folder, 0o711)
  return folder
}

/** What a shell has before anybody configured Jobyard. */
function bareEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME } = process.env
  return { PATH: `${join(checkout, 'node_modules/.bin')}:${PATH}`, HOME }
}

async function waitUntilUp(child: ChildProcess): Promise<string> {
  let printed = ''
  const up = new Promise<string>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        printed += chunk.toString()
        const host = /http:\/\/(\S+:\d+)\/v1\n[^]*Ctrl-C stops it/.exec(printed)?.[1]
        if (host) resolve(host)
      })
    }
  })
  const ended = once(child, 'exit').then(() => {
    throw new Error(`scripts/start.ts ended before it was up:\n${printed}`)
  })
  return Promise.race([up, ended])
}

async function descendants(pid: number): Promise<number[]> {
  const listed = await runToEnd('ps', ['-A', '-o', 'pid=,ppid='], tmpdir())
  const processes = listed
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
  const below = (parent: number): number[] =>
    processes.flatMap(([child = 0, itsParent]) => (itsParent === parent ? [child, ...below(child)] : []))
  return [pid, ...below(pid)]
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
