import { z } from 'zod'
import { defineJob } from '../define-job.ts'

/** Headers that belong to one connection (RFC 9110, section 7.6.1) or that the platform sets itself. */
const reservedHeaders = new Set(
  `connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade
  http2-settings host content-length expect accept-encoding`.split(/\s+/),
)
const maxHeaders = 50

const headerName = z
  .string()
  .max(100)
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/)
  .refine((name) => !reservedHeaders.has(name.toLowerCase()), 'This header is set by the platform')
const headerValue = z
  .string()
  .max(4_096)
  .regex(/^[\t\x20-\x7e]*$/, 'A header may hold visible ASCII, spaces and tabs')

/** One HTTP request. Where it may go is decided when it is made, by the rules of `outbound/`. */
export const httpRequest = defineJob({
  type: 'http.request',
  queue: 'http',
  description:
    'Makes one HTTP request. 2xx completes the job; 408, 425, 429, 5xx and broken connections are tried again; ' +
    'any other status fails it at once, redirects included. Only public https:// addresses may be reached, and what ' +
    'OUTBOUND_ALLOW lists. An attempt that was interrupted may have reached the receiver: it can see a request twice.',
  input: z
    .strictObject({
      url: z.url({ protocol: /^https?$/ }).max(2_048),
      method: z
        .enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
        .optional()
        .describe('GET if left out, or POST if there is a body.'),
      headers: z
        .record(headerName, headerValue)
        .refine((headers) => Object.keys(headers).length <= maxHeaders, `At most ${maxHeaders} headers`)
        .optional()
        .describe(`Up to ${maxHeaders} headers; those of the connection (Host, Content-Length, …) are refused.`),
      body: z.string().max(1_000_000).optional().describe('Sent as UTF-8; not with GET or HEAD.'),
    })
    .refine(({ method, body }) => body === undefined || (method !== 'GET' && method !== 'HEAD'), {
      path: ['body'],
      message: 'GET and HEAD have no body',
    }),
  output: z.strictObject({
    status: z.int(),
    headers: z.record(z.string(), z.string()).describe('Names in lower case, repeated headers joined by commas.'),
    body: z.string().describe('The first 256 KiB, read as UTF-8.'),
    truncated: z.boolean().describe('Whether the body was longer.'),
  }),
})
