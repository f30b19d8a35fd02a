import { fileURLToPath } from 'node:url'
import type { Programs } from '../stage.ts'

/** Processes that know the naughty types beside the built-in ones. */
export const naughtyPrograms: Programs = {
  api: fileURLToPath(new URL('api.ts', import.meta.url)),
  workers: fileURLToPath(new URL('workers.ts', import.meta.url)),
}
