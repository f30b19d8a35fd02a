import { chromium as driver, type Browser } from 'playwright-core'
import { chromium, findOrInstall } from './programs.ts'

/**
 * Starts a headless Chromium; close it at the end.
 * @throws one line that names the command to run if there is no browser.
 */
export async function launchChromium(): Promise<Browser> {
  return driver.launch({
    executablePath: await findOrInstall(chromium),
    headless: true,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  })
}
