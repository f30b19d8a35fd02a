/** What must never happen. The first seven are seen where a statement does it, the others in a state. */
export const invariantTexts = {
  'ended twice': 'A job ends once',
  'left a terminal status': 'A terminal status is never left',
  'ended without its event': 'A job that ends has its event',
  'write of an old epoch': 'Nothing that an attempt writes is applied once its job was claimed anew',
  'effects without completion': 'What a handler writes in its transaction stays only if the job completes by it',
  'innocent failed': 'A job does not fail for crashes that are not its own',
  'two runs': 'No two processes that both count as alive run the same job',
  'above concurrency': 'A process runs no more jobs at once than it has slots, suspects aside',
  'cancellation forgotten': 'A job whose cancellation was asked for while it ran is not run again',
  'too many tickets': 'The tickets of one job are few',
} as const

export type Invariant = keyof typeof invariantTexts
