import postgres from 'postgres'
import { until } from '../until.ts'
import type { Stage } from './stage.ts'

/** A statement that waits, by the server process that carries it out, and the port from which it was asked for. */
export interface WaitingStatement {
  readonly pid: number
  readonly clientPort: number
}

/** Statements that insert into a table wait amid their work until it is released. */
export interface HeldTable {
  /**
   * Resolves when statements wait, here or for one that does.
   *
   * @param application that sent them, e.g. `jobyard-workers`.
   * @param text that they contain within their first thousand characters.
   * @param count of them, at least.
   */
  waited(application: string, text: string, count?: number): Promise<WaitingStatement[]>
  /** Ends the connections of statements that wait, as Postgres does when it notices that nobody is there any more. */
  drop(statements: readonly WaitingStatement[]): Promise<void>
  /** Lets them go on. May be called twice. */
  release(): Promise<void>
}

/** Holds a table; release it, also when the trial fails. */
export async function holdTable({ postgres: server, db: { sql } }: Stage, table: string): Promise<HeldTable> {
  const holder = postgres(server.url, { max: 1, onnotice: () => {} })
  await holder.unsafe(`
    create or replace function hold() returns trigger language plpgsql as $$
      begin perform pg_advisory_xact_lock_shared(hashtext(tg_table_name)); return new; end $$;
    create or replace trigger hold before insert on ${table} for each row execute function hold()`)
  await holder`select pg_advisory_lock(hashtext(${table}))`
  let released: Promise<void> | undefined
  return {
    waited: (application, text, count = 1) =>
      until(`${count} statements of ${application} wait for ${table}`, async () => {
        const waiting = await sql<WaitingStatement[]>`
          select pid, client_port from pg_stat_activity
          where application_name = ${application} and wait_event_type = 'Lock' and query like ${`%${text}%`}`
        return waiting.length >= count && [...waiting]
      }),
    drop: async (statements) => {
      const pids = statements.map(({ pid }) => pid)
      await sql`select pg_terminate_backend(pid, 5000) from unnest(${pids}::int[]) as p (pid)`
    },
    release: () => (released ??= holder.end({ timeout: 0 })),
  }
}
