import { describe, expect, it } from 'vitest'
import { catalogue } from '../catalogue.ts'

const url = 'https://receiver.example/'
const email = { to: 'ada@example.com', subject: 'Hello' }
const image = { url }

const accepted: [string, unknown][] = [
  ['echo', { value: null }],
  ['echo', { value: { deep: ['x'] }, sleepMs: 3_600_000, failTimes: 0 }],
  ['http.request', { url }],
  ['http.request', { url: 'http://127.0.0.1:4000/', method: 'PUT', headers: { 'X-A': 'b c' }, body: '' }],
  ['email.send', email],
  ['email.send', { ...email, text: 'a\r\nb', html: '<p>', from: 'Grüße, Ada. <no-reply@shop.example>' }],
  ['email.send', { ...email, from: 'jobyard@localhost' }],
  ['image.thumbnail', { image, width: 1 }],
  ['image.thumbnail', { image: { base64: 'AAAA' }, width: 2_048, height: 2_048, fit: 'contain', format: 'avif' }],
  ['github.event', { event: 'push', delivery: 'x', payload: {} }],
]

const refused: [string, unknown][] = [
  ['echo', {}],
  ['echo', { value: 1, sleepMs: -1 }],
  ['echo', { value: 1, sleepMs: 0.5 }],
  ['echo', { value: 1, failTimes: '1' }],
  ['http.request', {}],
  ['http.request', { url: '/relative' }],
  ['http.request', { url: 'ftp://receiver.example/' }],
  ['http.request', { url: `${url}${'x'.repeat(2_048)}` }],
  ['http.request', { url, method: 'get' }],
  ['http.request', { url, method: 'CONNECT' }],
  ['http.request', { url, method: 'GET', body: 'x' }],
  ['http.request', { url, body: { json: true } }],
  ['http.request', { url, headers: { Host: 'other.example' } }],
  ['http.request', { url, headers: { connection: 'keep-alive' } }],
  ['http.request', { url, headers: { 'Transfer-Encoding': 'chunked' } }],
  ['http.request', { url, headers: { 'Content-Length': '0' } }],
  ['http.request', { url, headers: { Upgrade: 'websocket' } }],
  ['http.request', { url, headers: { 'x y': 'z' } }],
  ['http.request', { url, headers: { '': 'z' } }],
  ['http.request', { url, headers: { x: 'a\r\nHost: b' } }],
  ['http.request', { url, headers: { x: 'é' } }],
  ['http.request', { url, headers: { x: 1 } }],
  ['http.request', { url, headers: { x: 'y'.repeat(4_097) } }],
  ['http.request', { url, headers: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`x-${n}`, ''])) }],
  ['email.send', { subject: 'no recipient' }],
  ['email.send', { ...email, to: 'ada@example.com, eve@example.com' }],
  ['email.send', { ...email, to: ['ada@example.com'] }],
  ['email.send', { ...email, to: 'ada@example.com\r\nRCPT TO:<eve@example.com>' }],
  ['email.send', { ...email, subject: 'a\r\nBcc: eve@example.com' }],
  ['email.send', { ...email, subject: 'a\nb' }],
  ['email.send', { ...email, from: 'Ada <a@b>\r\nBcc: eve@example.com' }],
  ['email.send', { ...email, from: 'Ada <a@b>, Eve <e@b>' }],
  ['email.send', { ...email, from: 'a@b, e@b' }],
  ['email.send', { ...email, from: 'Ada' }],
  ['email.send', { ...email, text: { path: '/etc/passwd' } }],
  ['email.send', { ...email, attachments: [] }],
  ['image.thumbnail', { width: 10 }],
  ['image.thumbnail', { image }],
  ['image.thumbnail', { image, width: 0 }],
  ['image.thumbnail', { image, width: 2_049 }],
  ['image.thumbnail', { image, width: 10, height: 2_049 }],
  ['image.thumbnail', { image, width: 10, fit: 'outside' }],
  ['image.thumbnail', { image, width: 10, format: 'svg' }],
  ['image.thumbnail', { image: { url, base64: 'AAAA' }, width: 10 }],
  ['image.thumbnail', { image: { base64: 'not base64' }, width: 10 }],
  ['image.thumbnail', { image: { base64: '' }, width: 10 }],
  ['image.thumbnail', { image: { url: 'file:///etc/passwd' }, width: 10 }],
  ['github.event', { event: 'push' }],
  ['github.event', { event: 'pu sh', payload: {} }],
  ['github.event', { event: 'push', payload: [] }],
  ['github.event', { event: 'push', payload: 'x' }],
]

describe('the contract of a built-in type', () => {
  it.each(accepted)('%s accepts %j', (type, input) => {
    expect(catalogue.get(type)?.input.safeParse(input).error).toBeUndefined()
  })

  it.each(refused)('%s refuses %j', (type, input) => {
    expect(catalogue.get(type)?.input.safeParse(input).success).toBe(false)
  })

  it.each(accepted)('%s refuses an unknown field beside %j', (type, input) => {
    expect(catalogue.get(type)?.input.safeParse({ ...(input as object), surprise: 1 }).success).toBe(false)
  })
})
