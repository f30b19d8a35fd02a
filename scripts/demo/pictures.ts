import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import sharp from 'sharp'

/** A source of thumbnails, with its size in pixels. */
export interface Picture {
  readonly bytes: Buffer
  readonly width: number
  readonly height: number
}

const photoSize = { width: 3_000, height: 2_000 }

/** What light and lens would do: a sky over hills, and a sun. Grain comes on top, as of a sensor. */
const scenery = `
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3000 2000">
  <linearGradient id="sky" x2="0" y2="1"><stop stop-color="#16407a"/><stop offset=".7" stop-color="#f3b27a"/></linearGradient>
  <radialGradient id="sun"><stop stop-color="#fff6d8"/><stop offset=".3" stop-color="#ffd98a"/><stop offset="1" stop-color="#ffd98a" stop-opacity="0"/></radialGradient>
  <rect width="3000" height="2000" fill="url(#sky)"/>
  <circle cx="2100" cy="1150" r="520" fill="url(#sun)"/>
  <path d="M0 1500 Q700 1050 1400 1420 T3000 1280 V2000 H0Z" fill="#4c5a6b"/>
  <path d="M0 1720 Q900 1380 1700 1680 T3000 1560 V2000 H0Z" fill="#26323a"/>
</svg>`

/** Makes a photo-like JPEG of 6 megapixels. */
export async function takePhoto(): Promise<Picture> {
  const grain = { type: 'gaussian' as const, mean: 128, sigma: 14 }
  const noise = await sharp({ create: { ...photoSize, channels: 3, background: 'grey', noise: grain } })
    .png({ compressionLevel: 0 })
    .toBuffer()
  const bytes = await sharp(Buffer.from(scenery))
    .composite([{ input: noise, blend: 'soft-light' }])
    .jpeg({ quality: 82 })
    .toBuffer()
  return { bytes, ...photoSize }
}

/** @returns the picture that comes with a package of the API, or undefined where the package lacks it. */
export async function findShippedPicture(): Promise<Picture | undefined> {
  const folder = createRequire(import.meta.url).resolve.paths('@fastify/static') ?? []
  for (const modules of folder) {
    const bytes = await readFile(`${modules}/@fastify/static/example/public/images/sample.jpg`).catch(() => undefined)
    if (bytes) return measured(bytes)
  }
  return undefined
}

async function measured(bytes: Buffer): Promise<Picture> {
  const { width, height } = await sharp(bytes).metadata()
  return { bytes, width, height }
}

/** What a thumbnail really is, found by decoding all of it. */
export interface DecodedThumbnail {
  readonly width: number
  readonly height: number
  readonly format: string
}

/** @throws when the bytes are no image, or a damaged one. */
export async function decodeThumbnail(base64: string): Promise<DecodedThumbnail> {
  const bytes = Buffer.from(base64, 'base64')
  const [{ format, compression }, { info }] = await Promise.all([
    sharp(bytes, { failOn: 'warning' }).metadata(),
    sharp(bytes, { failOn: 'warning' }).raw().toBuffer({ resolveWithObject: true }),
  ])
  return {
    width: info.width,
    height: info.height,
    format: format === 'heif' && compression === 'av1' ? 'avif' : (format ?? ''),
  }
}
