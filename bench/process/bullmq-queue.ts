import { expectCount, payloadChunks, type Payload, type Target } from './contestant.ts'

/** What is used of a BullMQ queue, on whichever backend. */
export interface BullQueue {
  addBulk(jobs: { name: string; data: Payload; opts: { removeOnComplete: boolean } }[]): Promise<unknown>
  getJobCounts(): Promise<Record<string, number>>
}

export const queueName = 'bench'
const chunkSize = 1_000

/** Adds the target's jobs, of which nothing stays once they are done. */
export async function fillQueue(queue: BullQueue, target: Target): Promise<void> {
  for (const chunk of payloadChunks(target, chunkSize)) {
    await queue.addBulk(chunk.map((data) => ({ name: 'job', data, opts: { removeOnComplete: true } })))
  }
}

/** @throws Error when a job is left, failed or not. */
export async function expectEmptyQueue(queue: BullQueue): Promise<void> {
  for (const [state, count] of Object.entries(await queue.getJobCounts())) {
    expectCount(`Jobs left in BullMQ as ${state}`, count, 0)
  }
}
