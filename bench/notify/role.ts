import { withPostgres } from '../servers.ts'

/** Role of the one process whose statements are counted by themselves. */
const role = 'bench_streams'

/** Makes the role, which may do everything. @returns the database's postgres://… for it. */
export async function urlOfRole(databaseUrl: string): Promise<string> {
  const url = new URL(databaseUrl)
  await withPostgres(databaseUrl, async (sql) => {
    const present = await sql`select from pg_roles where rolname = ${role}`
    if (present.length === 0) await sql.unsafe(`create role ${role} superuser login password '${role}'`)
    await sql`create extension if not exists pg_stat_statements`
  })
  url.username = role
  url.password = role
  return url.href
}

/** @returns statements that the role has sent since the server started. */
export async function countStatementsBy(databaseUrl: string): Promise<number> {
  const [row] = await withPostgres(
    databaseUrl,
    (sql) => sql<{ statements: number }[]>`
      select coalesce(sum(calls), 0)::float8 as statements from pg_stat_statements(false) s
      join pg_roles r on r.oid = s.userid where r.rolname = ${role}`,
  )
  return row?.statements ?? 0
}
