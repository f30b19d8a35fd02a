import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { chromium, type Browser } from 'playwright-core'

/**
 * Starts a headless Chromium; close it at the end. On Debian as root it installs the browser if there is none.
 * @throws one line that names the command to run if there is no browser.
 */
export async function launchChromium(): Promise<Browser> {
  const executablePath = (await findChromium()) ?? (await installChromium())
  return chromium.launch({ executablePath, headless: true, args: ['--no-sandbox', '--disable-dev-shm-usage'] })
}

async function findChromium(): Promise<string | undefined> {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    const file = await findOnPath(name)
    if (file) return file
  }
  return undefined
}

async function installChromium(): Promise<string> {
  const aptGet = process.getuid?.() === 0 ? await findOnPath('apt-get') : undefined
  if (!aptGet) {
    throw new Error(
      'The browser tests need Chromium: run `sudo apt-get install chromium` (macOS: `brew install chromium`).',
    )
  }
  process.stdout.write('Installing chromium for the tests: apt-get update, apt-get install chromium\n')
  const run = promisify(execFile)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  await run(aptGet, ['update', '-q'], { env })
  await run(aptGet, ['install', '-q', '-y', '--no-install-recommends', 'chromium'], { env })
  const program = await findChromium()
  if (!program) throw new Error('apt-get installed chromium, but it is not on the PATH.')
  return program
}

async function findOnPath(name: string): Promise<string | undefined> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/local/bin']
  for (const folder of folders) {
    const file = join(folder, name)
    const found = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return file
  }
  return undefined
}
