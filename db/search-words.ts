import type { Sql } from './connect.ts'
import type { TerminalStatus } from './statuses.ts'

/** Fields of metadata that a job is found by: the first that have a string, a number or a boolean. */
const wordFields = 20
/** Words that are longer are left out, in characters. */
const longestWord = 200

type Fragment = ReturnType<typeof wordsOfEnd>

/** @returns the word of jobs with a tag. */
export function tagWord(tag: string): string {
  return `tag:${tag}`
}

/** @returns the word of jobs whose metadata has this value in this field at its top; a number or a boolean is meant by its JSON text. */
export function metadataWord(field: string, value: string): string {
  return `metadata:${field.replaceAll('~', '~0').replaceAll('=', '~1')}=${value}`
}

/** @returns the word of jobs that ended so. */
export function statusWord(status: Exclude<TerminalStatus, 'completed'>): string {
  return `status:${status}`
}

/** Part of every statement that makes jobs with tags or metadata: `changed` must have id, tenant, tags and metadata. */
export function newWords(sql: Sql) {
  return sql`word as (
      insert into search_words (tenant, word, job_id)
      select changed.tenant, said.word, changed.id from changed cross join lateral (${wordsOf(sql, sql`changed`)}) as said
      where ${hasWords(sql, sql`changed`)} on conflict do nothing
    )`
}

/** Part of every statement that can end jobs other than completed: `changed` must have id, tenant and status. */
export function wordsOfEnd(sql: Sql) {
  return sql`word_of_end as (
      insert into search_words (tenant, word, job_id)
      select tenant, 'status:' || status, id from changed where status in ('failed', 'cancelled')
    )`
}

/** Part of the statement that deletes jobs: deletes the words of the CTE `job`, which must have id, tenant, tags, metadata and status. */
export function deletedWords(sql: Sql) {
  return sql`word as (
      delete from search_words where ctid = any(array(
        select w.ctid from job cross join lateral (
          ${wordsOf(sql, sql`job`)} union all select 'status:' || job.status
        ) as said cross join lateral (
          select ctid from search_words where tenant = job.tenant and word = said.word and job_id = job.id limit 1
        ) as w where job.status <> 'completed' or ${hasWords(sql, sql`job`)}))
    )`
}

function hasWords(sql: Sql, job: Fragment) {
  return sql`(cardinality(${job}.tags) > 0 or ${job}.metadata::text <> '{}')`
}

/** What a row says of itself, as a table of `word`. Postgres cannot read JSON in which NUL or half a character is escaped: such metadata has none. */
function wordsOf(sql: Sql, job: Fragment) {
  return sql`select 'tag:' || tag as word from unnest(${job}.tags) as tag
      union all
      select word from (
        select 'metadata:' || replace(replace(key, '~', '~0'), '=', '~1') || '=' || (value #>> '{}') as word
        from json_each(case when ${job}.metadata::text ~* '\\\\u(0000|d[89a-f])' then '{}' else ${job}.metadata end)
        where json_typeof(value) in ('string', 'number', 'boolean') limit ${sql.unsafe(String(wordFields))}
      ) as field where char_length(word) <= ${sql.unsafe(String(longestWord))}`
}
