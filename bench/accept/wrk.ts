import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findOrInstall, type Program } from '@jobyard/testing/programs'

const wrk: Program = { names: ['wrk'], debianPackage: 'wrk', brewPackage: 'wrk' }

/** One and the same POST, sent again and again. */
export interface Load {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly connections: number
  readonly seconds: number
}

/** What came of it. */
export interface LoadReport {
  /** Requests that were answered with 2xx. */
  readonly answered: number
  readonly perSecond: number
}

/**
 * Sends as many requests as get answered: each connection sends the next when it has its answer.
 *
 * @throws Error when a request was refused or got no answer.
 */
export async function sendLoad(load: Load): Promise<LoadReport> {
  const program = await findOrInstall(wrk)
  const folder = await mkdtemp(join(tmpdir(), 'jobyard-wrk-'))
  try {
    const script = join(folder, 'load.lua')
    await writeFile(script, luaScript(load))
    const amount = `--threads 1 --connections ${load.connections} --duration ${load.seconds}s`.split(' ')
    const { stdout } = await promisify(execFile)(program, [...amount, '--script', script, load.url])
    return readReport(stdout)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The last line that it prints is for {@link readReport}. */
function luaScript({ headers, body }: Load): string {
  const quote = JSON.stringify // what it escapes, it escapes as Lua does
  return `
    wrk.method = "POST"
    wrk.body = ${quote(body)}
    ${Object.entries(headers)
      .map(([name, value]) => `wrk.headers[${quote(name)}] = ${quote(value)}`)
      .join('\n')}
    function done(summary)
      local e = summary.errors
      local failed = e.status + e.connect + e.read + e.write + e.timeout
      print("\\n" .. summary.requests .. " " .. failed .. " " .. summary.duration)
    end`
}

function readReport(printed: string): LoadReport {
  const [requests = NaN, failed = NaN, microseconds = NaN] = (printed.trim().split('\n').at(-1) ?? '')
    .split(' ')
    .map(Number)
  if (failed !== 0 || !(requests > 0)) {
    throw new Error(`${failed} of ${requests} requests were refused or not answered:\n${printed}`)
  }
  return { answered: requests, perSecond: requests / (microseconds / 1_000_000) }
}
