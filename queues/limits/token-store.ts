import type { Limit } from './limit.ts'

/** What was taken from a bucket, and how it stands now. */
export interface Taken {
  readonly tokens: number
  /** Time until the bucket is full, in milliseconds. */
  readonly fullInMs: number
}

/** Buckets of tokens that all processes share. */
export interface TokenStore {
  /**
   * Takes as many tokens as there are, up to `most`; none when there are fewer than `least`.
   *
   * @param bucket name of the bucket; it is made when there is none, and forgotten when it is full again.
   * @throws when the store is away; it sets no deadline of its own.
   */
  take(bucket: string, limit: Limit, least: number, most: number): Promise<Taken>
}
