import type { GuardedFetch } from '@jobyard/outbound/guarded-fetch'
import { httpRequest as contract } from '@jobyard/queues/contracts/http-request'
import { defineHandler, type JobHandler } from '../define-handler.ts'
import { fetchForJob } from './fetch-for-job.ts'

/** What a job keeps of an answer's body; the contract's description names it. */
const maxBodyBytes = 256 * 1024

/** Makes one HTTP request through the guarded fetch. */
export function httpRequest({ guardedFetch }: { guardedFetch: GuardedFetch }): JobHandler {
  return defineHandler(contract, async ({ url, method, headers = {}, body }, ctx) => {
    const response = await fetchForJob(guardedFetch, url, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: { 'user-agent': 'jobyard', ...headers },
      ...(body === undefined ? {} : { body }),
      signal: ctx.signal,
      maxBodyBytes,
    })
    return {
      status: response.status,
      headers: response.headers,
      body: response.body,
      truncated: response.truncated,
    }
  })
}
