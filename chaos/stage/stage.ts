import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect, type Database } from '@jobyard/db/connect'
import { migrateAll } from '@jobyard/queues/migrate'
import { adminKey, type CarrierKind } from '@jobyard/testing/platform'
import type { Random } from '../random.ts'
import { Member, openLog, type Role } from './crew.ts'
import { Link } from './link.ts'
import { PostgresServer } from './postgres-server.ts'
import { RedisServer } from './redis-server.ts'

/** The file that the processes of each role run. */
export type Programs = Readonly<Record<Role, string>>

export interface StageOptions {
  readonly carrier: CarrierKind
  /** The platform's own when absent. */
  readonly programs?: Programs
  /** False where the trial migrates by itself, before it starts any process. */
  readonly migrate?: boolean
  readonly apis?: number
  readonly workers?: number
  /** Further variables of every process. */
  readonly env?: Record<string, string>
  /** Further settings of Postgres. */
  readonly postgresSettings?: Record<string, string>
  /** Folder in which Postgres keeps its data; that of temporary files when absent. */
  readonly postgresFolder?: string
  /** Told of every process that ends. */
  readonly onDeath?: (line: string) => void
}

/** Links of one role's processes. The embedded carrier shares the one to Postgres. */
export interface Links {
  readonly postgres: Link
  readonly redis: Link | undefined
}

/** The whole platform in real processes on real servers of its own, with a link in every connection that can be disturbed. */
export interface Stage {
  readonly carrier: CarrierKind
  readonly postgres: PostgresServer
  readonly redis: RedisServer | undefined
  readonly links: Record<Role, Links>
  readonly apis: Member[]
  readonly workers: Member[]
  /** The record, read beside all links. */
  readonly db: Database
  /** Holds a log for each process; processes know it as `CHAOS_FOLDER`. */
  readonly folder: string
  /** Adds a process; start it. @param programs where they are not those of the stage. */
  enlist(role: Role, env?: Record<string, string>, programs?: Programs): Member
  /** Adds a process with links of its own, so that it can be disturbed alone; start it. */
  enlistApart(role: Role, env?: Record<string, string>): Promise<{ readonly member: Member; readonly links: Links }>
  /** @returns the URL of one of the APIs that work. */
  api(random: Random): string | undefined
  /** Ends what was done to links and servers, and resolves when every process works that is kept alive. */
  heal(): Promise<void>
  /** Starts Postgres again after it went down, and leads every link to it. */
  raisePostgres(): Promise<void>
  /** Ends everything. @param keepLogs leaves the folder. */
  close(keepLogs?: boolean): Promise<void>
}

const ownPrograms: Programs = {
  api: fileURLToPath(new URL('../../api/main.ts', import.meta.url)),
  workers: fileURLToPath(new URL('../../workers/main.ts', import.meta.url)),
}

/** Starts servers, and as many processes as asked for; resolves when they work. */
export async function openStage(options: StageOptions): Promise<Stage> {
  const { carrier, apis = 2, workers = 2, onDeath = () => {} } = options
  const folder = await mkdtemp(join(tmpdir(), 'jobyard-chaos-logs-'))
  const postgres = await PostgresServer.start(options.postgresSettings, options.postgresFolder)
  const redis = carrier === 'redis' ? await RedisServer.start() : undefined
  if (options.migrate ?? true) await migrateAll(postgres.url)
  const openLinks = async (): Promise<Links> => ({
    postgres: await Link.to(postgres.url),
    redis: redis && (await Link.to(redis.url)),
  })
  const links = { api: await openLinks(), workers: await openLinks() }
  const apart: Links[] = []
  const everyLink = () =>
    [...Object.values(links), ...apart].flatMap((each) => [each.postgres, ...(each.redis ? [each.redis] : [])])
  const db = connect(postgres.url, { applicationName: 'chaos', statementTimeoutMs: 120_000 })
  const crew: Record<Role, Member[]> = { api: [], workers: [] }

  const addressesOf = (own: Links) => ({
    DATABASE_URL: own.postgres.url(postgres.url),
    ...(redis && own.redis && { REDIS_URL: own.redis.url(redis.url) }),
  })
  const enlist: Stage['enlist'] = (role, env = {}, programs = options.programs ?? ownPrograms) => {
    const name = `${role}-${crew[role].length + 1}`
    const member = new Member({
      role,
      name,
      file: programs[role],
      log: openLog(join(folder, `${name}.log`)),
      onDeath: (how) => onDeath(`${name} ended: ${how}`),
      env: {
        PATH: process.env['PATH'] ?? '',
        ...addressesOf(links[role]),
        JOBYARD_ADMIN_KEY: adminKey,
        JOBYARD_SECRET: adminKey,
        PORT: '0',
        LOG_LEVEL: 'warn',
        CHAOS_FOLDER: folder,
        ...options.env,
        ...env,
      },
    })
    crew[role].push(member)
    return member
  }
  for (let count = 0; count < apis; count++) enlist('api')
  for (let count = 0; count < workers; count++) enlist('workers')
  const members = () => [...crew.api, ...crew.workers]
  await Promise.all(members().map((member) => member.start()))

  return {
    carrier,
    postgres,
    redis,
    links,
    apis: crew.api,
    workers: crew.workers,
    db,
    folder,
    enlist,
    enlistApart: async (role, env = {}) => {
      const own = await openLinks()
      apart.push(own)
      return { member: enlist(role, { ...addressesOf(own), ...env }), links: own }
    },
    api: (random) => {
      const urls = crew.api.flatMap(({ url }) => url ?? [])
      return urls.length > 0 ? random.pick(urls) : undefined
    },
    heal: async () => {
      for (const link of everyLink()) link.heal(true)
      for (const member of members()) member.signal('SIGCONT')
      redis?.signal('SIGCONT')
      await postgres.signalAll('SIGCONT')
      await Promise.all(
        members()
          .filter(({ wanted }) => wanted)
          .map((member) => member.working()),
      )
    },
    raisePostgres: async () => {
      await postgres.up()
      for (const each of [...Object.values(links), ...apart]) each.postgres.retarget(postgres.url)
    },
    close: async (keepLogs = false) => {
      await Promise.all(members().map((member) => member.retire('SIGKILL')))
      await db.close()
      for (const link of everyLink()) await link.close()
      await redis?.close()
      await postgres.close()
      if (!keepLogs) await rm(folder, { recursive: true, force: true })
    },
  }
}
