import { migrateAll } from '@jobyard/queues/migrate'
import { createDatabase, createTemplate, startTestPostgres } from '@jobyard/testing/postgres'
import { emptyReport, type Part } from '../report.ts'
import { runSequences } from './sequences.ts'

/** Sequences in a minute, about what two cores do. */
const perMinute = 2_000
const lanes = 2

/** Random sequences of everything that can happen to jobs, against the statements of the platform. There is no carrier in it. */
export const sequences: Part = async (options) => {
  const { seed, minutes, onProgress } = options
  const startedAt = performance.now()
  const server = await startTestPostgres()
  try {
    await createTemplate(server.url, (url) => migrateAll(url))
    const databases = await Promise.all(Array.from({ length: lanes }, () => createDatabase(server.url)))
    const wanted = Math.ceil(minutes * perMinute)
    const { runs, reached, failure } = await runSequences({
      seed,
      runs: wanted,
      databaseUrls: databases.map(({ url }) => url),
      onProgress: (done) => onProgress(`${done.toLocaleString('en')} of ${wanted.toLocaleString('en')} sequences`),
    })
    await Promise.all(databases.map((database) => database.drop()))
    return {
      ...emptyReport('sequences', options),
      violations: failure
        ? failure.invariants.map((invariant) => ({
            invariant,
            what: `sequence ${failure.path}`,
            timeline: failure.report.split('\n'),
          }))
        : [],
      figures: { sequences: runs, 'steps that were judged': reached.steps, 'of these concurrent': reached.crowds },
      seconds: (performance.now() - startedAt) / 1_000,
    }
  } finally {
    await server.stop()
  }
}
