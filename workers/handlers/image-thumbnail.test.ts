import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { crc32 } from 'node:zlib'
import { parseAllowList } from '@jobyard/outbound/address-rules'
import { createGuardedFetch } from '@jobyard/outbound/guarded-fetch'
import { handlerContext } from '@jobyard/testing/handler-context'
import sharp, { type Sharp } from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { imageThumbnail } from './image-thumbnail.ts'

const guardedFetch = createGuardedFetch({
  allow: parseAllowList('127.0.0.1'),
  timeoutMs: 5_000,
  maxBodyBytes: 1_000,
  maxHeaderBytes: 16_384,
})
const handler = imageThumbnail({ guardedFetch })
const files: Record<string, Buffer> = {}
let server: Server
let url: string

beforeAll(async () => {
  server = createServer((request, response) => {
    const file = files[request.url ?? '']
    response.writeHead(file ? 200 : 404).end(file)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => {
  server.close()
})

interface Thumbnail {
  base64: string
  width: number
  height: number
  format: string
}

async function run(input: object, context = handlerContext()): Promise<Thumbnail> {
  return handler.contract.output.parse(await handler.run(input, context)) as Thumbnail
}

function plain(width: number, height: number, background: object | string = 'red') {
  return sharp({ create: { width, height, channels: 4, background: background as string } })
}

async function base64Of(image: Sharp): Promise<{ base64: string }> {
  return { base64: (await image.toBuffer()).toString('base64') }
}

function noise(side: number) {
  return sharp(randomFillSync(Buffer.alloc(side * side * 3)), { raw: { width: side, height: side, channels: 3 } })
}

/** Writes other measures into the header of a PNG: https://www.w3.org/TR/png/#11IHDR */
function claimSize(png: Buffer, width: number, height: number): void {
  png.writeUInt32BE(width, 16)
  png.writeUInt32BE(height, 20)
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29)
}

describe('image.thumbnail', () => {
  it('makes a WebP image of the asked width, and keeps the proportions', async () => {
    const { base64, ...said } = await run({ image: await base64Of(plain(300, 200).png()), width: 90 })
    expect(said).toEqual({ width: 90, height: 60, format: 'webp' })
    expect(await sharp(Buffer.from(base64, 'base64')).metadata()).toMatchObject(said)
  })

  it.each(['webp', 'jpeg', 'png', 'avif'])('writes %s', async (format) => {
    const { base64, ...said } = await run({ image: await base64Of(plain(64, 64).png()), width: 16, format })
    expect(said).toEqual({ width: 16, height: 16, format })
    const metadata = await sharp(Buffer.from(base64, 'base64')).metadata()
    expect(metadata).toMatchObject({ width: 16, format: format === 'avif' ? 'heif' : format })
  })

  it.each(['webp', 'jpeg', 'png', 'avif', 'gif', 'tiff'] as const)('reads %s', async (format) => {
    const image = await base64Of(plain(64, 32).toFormat(format))
    expect(await run({ image, width: 16 })).toMatchObject({ width: 16, height: 8 })
  })

  it.each([
    ['cover', 40, 40],
    ['contain', 40, 40],
    ['fill', 40, 40],
    ['inside', 40, 20],
  ])('fits by %s', async (fit, width, height) => {
    const image = await base64Of(plain(200, 100).png())
    expect(await run({ image, width: 40, height: 40, fit })).toMatchObject({ width, height })
  })

  it('takes an image from a URL, beyond the default size of answers', async () => {
    files['/noise.png'] = await noise(100).png().toBuffer()
    expect(files['/noise.png'].length).toBeGreaterThan(1_000)
    expect(await run({ image: { url: `${url}/noise.png` }, width: 10 })).toMatchObject({ width: 10, height: 10 })
  })

  it('turns a photograph upright and leaves its metadata behind', async () => {
    const image = await base64Of(plain(40, 20).withMetadata({ orientation: 6 }).jpeg())
    const { base64, width, height } = await run({ image, width: 10 })
    expect([width, height]).toEqual([10, 20])
    expect((await sharp(Buffer.from(base64, 'base64')).metadata()).exif).toBeUndefined()
  })

  it('puts a transparent image on white where the format has no transparency', async () => {
    const image = await base64Of(plain(20, 20, { r: 0, g: 0, b: 0, alpha: 0 }).png())
    const { base64 } = await run({ image, width: 8, format: 'jpeg' })
    const [pixel] = await sharp(Buffer.from(base64, 'base64')).raw().toBuffer()
    expect(pixel).toBeGreaterThan(250)
  })

  it('keeps a very tall image within bounds', async () => {
    const image = await base64Of(plain(1, 10_000).png())
    expect(await run({ image, width: 2_048 })).toMatchObject({ width: 1, height: 2_048 })
  })

  it('does not hold up the event loop', async () => {
    const image = await base64Of(noise(1_000).png({ compressionLevel: 0 }))
    let turns = 0
    const counter = setInterval(() => turns++, 1)
    await run({ image, width: 1_000 })
    clearInterval(counter)
    expect(turns).toBeGreaterThan(20)
  })

  it('ends with the reason of its signal', async () => {
    const signal = AbortSignal.abort(new Error('cancelled'))
    const image = await base64Of(plain(9, 9).png())
    await expect(run({ image, width: 9 }, handlerContext({ signal }))).rejects.toThrow('cancelled')
    await expect(run({ image: { url }, width: 9 }, handlerContext({ signal }))).rejects.toThrow('cancelled')
  })
})

describe('image.thumbnail fails for good', () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'

  it.each([
    ['text', Buffer.from('this is no image')],
    ['nothing but a signature', Buffer.from('89504e470d0a1a0a', 'hex')],
    ['SVG', Buffer.from(svg)],
    ['PDF', Buffer.from('%PDF-1.7\n')],
  ])('on %s', async (_name, bytes) => {
    const request = run({ image: { base64: bytes.toString('base64') }, width: 10 })
    await expect(request).rejects.toMatchObject({ name: 'PermanentError', reason: 'image_unreadable' })
  })

  it('on an image that breaks off', async () => {
    const whole = await noise(200).png().toBuffer()
    const image = { base64: whole.subarray(0, whole.length / 2).toString('base64') }
    await expect(run({ image, width: 10 })).rejects.toMatchObject({ reason: 'image_unreadable' })
  })

  it('on more pixels than allowed, however small the file', async () => {
    const png = await plain(9, 9).png().toBuffer()
    claimSize(png, 8_000, 5_001)
    await expect(run({ image: { base64: png.toString('base64') }, width: 10 })).rejects.toMatchObject({
      reason: 'image_too_large',
    })
  })

  it('on more bytes than allowed', async () => {
    files['/huge'] = Buffer.alloc(20_000_001)
    const request = run({ image: { url: `${url}/huge` }, width: 10 })
    await expect(request).rejects.toMatchObject({ reason: 'image_too_large' })
  })

  it('on a thumbnail that would be too large', async () => {
    const image = await base64Of(noise(1_200).png({ compressionLevel: 0 }))
    const request = run({ image, width: 1_200, format: 'png' })
    await expect(request).rejects.toMatchObject({ reason: 'output_too_large' })
  })

  it('on a URL that is not there or not allowed', async () => {
    await expect(run({ image: { url: `${url}/none` }, width: 9 })).rejects.toMatchObject({ reason: 'http_status' })
    const request = run({ image: { url: 'https://10.0.0.1/x.png' }, width: 9 })
    await expect(request).rejects.toMatchObject({ reason: 'url_not_allowed' })
  })
})
