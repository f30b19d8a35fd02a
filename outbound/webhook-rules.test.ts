import { describe, expect, it } from 'vitest'
import { parseAllowList } from './address-rules.ts'
import { isReservedHeader, whyWebhookUrlIsForbidden } from './webhook-rules.ts'

const allow = parseAllowList('127.0.0.1,10.1.0.0/16,receiver.example:9000')
const own = ['127.0.0.1:3000', 'localhost:3000', 'jobs.example:443', '::1:3000']

describe('the URL of a webhook', () => {
  it.each([
    'https://receiver.example/hook',
    'https://receiver.example:8443/hook',
    'https://receiver.example:9000/hook',
    'http://127.0.0.1:4000/hook',
    'https://10.1.2.3:5432/',
  ])('%s passes', (url) => {
    expect(whyWebhookUrlIsForbidden(url, allow, own)).toBeUndefined()
  })

  it.each([
    ['http://receiver.example/', /https/],
    ['https://10.2.0.1/', /private/],
    ['https://receiver.example:22/', /port 22/],
    ['https://receiver.example:80/', /port 80/],
    ['https://receiver.example:5432/', /port 5432/],
    ['https://receiver.example:8080/', /port 8080/],
    ['http://127.0.0.1:22/', /port 22/],
    ['http://127.0.0.1:3000/v1/jobs', /address of this platform/],
    ['http://127.1:3000/', /address of this platform/],
    ['https://jobs.example/', /address of this platform/],
    ['https://JOBS.example.:443/', /address of this platform/],
    ['https://exa\nmple.com/', /control characters/],
    ['https://example.com/a b', /spaces/],
    [' https://example.com/', /spaces/],
    ['https://example.com/\r\nx-header: 1', /spaces or control characters/],
  ])('%j is refused', (url, reason) => {
    expect(whyWebhookUrlIsForbidden(url, allow, own)).toMatch(reason)
  })
})

it.each([
  'http://127.0.0.2:3000/',
  'http://127.255.255.254:3000/',
  'http://0.0.0.0:3000/',
  'http://0:3000/',
  'http://[::]:3000/',
  'http://[::1]:3000/',
  'http://[::ffff:127.0.0.1]:3000/',
  'http://[::ffff:0.0.0.0]:3000/',
  'http://api.localhost:3000/',
])('%s is the platform, whatever is allowed', (url) => {
  const all = parseAllowList('127.0.0.0/8,0.0.0.0/8,::/0,api.localhost')
  expect(whyWebhookUrlIsForbidden(url, all, own)).toMatch(/address of this platform/)
  expect(whyWebhookUrlIsForbidden(url.replace('3000', '4000'), all, own)).toBeUndefined()
})

it.each([
  'Host',
  'content-length',
  'Content-Type',
  'Webhook-Id',
  'webhook-anything',
  'Connection',
  'TE',
  'Proxy-Authorization',
])('a webhook may not have a header %s of its own', (name) => {
  expect(isReservedHeader(name)).toBe(true)
})

it.each(['Authorization', 'X-Api-Key', 'User-Agent', 'Cookie'])('a webhook may have a header %s', (name) => {
  expect(isReservedHeader(name)).toBe(false)
})
