import type { Part } from '../bench.ts'
import { acceptInBatches } from './in-batches.ts'
import { acceptSingly } from './singly.ts'

/** How many jobs are accepted: over HTTP one a request, and by the batch. */
export const accept: Part = async (bench) => [await acceptSingly(bench), await acceptInBatches(bench)]
