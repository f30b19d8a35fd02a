import type { GuardedFetch } from '@jobyard/outbound/guarded-fetch'
import { imageThumbnail as contract } from '@jobyard/queues/contracts/image-thumbnail'
import { PermanentError } from '@jobyard/queues/errors'
import sharp, { type Metadata, type Sharp } from 'sharp'
import type { z } from 'zod'
import { defineHandler, type JobHandler } from '../define-handler.ts'
import { fetchForJob } from './fetch-for-job.ts'

type Input = z.output<typeof contract.input>

const maxSourceBytes = 20_000_000
const maxSourcePixels = 40_000_000
const maxSide = 2_048
const maxOutputBytes = 4_000_000
/** libvips gives up an image that takes longer, in seconds; below the type's time-out. */
const maxWorkSeconds = 45

/**
 * Makes thumbnails. The work runs in libuv's threads and cannot be interrupted: the signal is looked at between its steps.
 *
 * Sets up sharp for the whole process: no cache, one thread for each image, and only the decoders that the contract names.
 * That keeps SVG out, with which a stranger could make the decoder do far more than its bytes suggest.
 */
export function imageThumbnail({ guardedFetch }: { guardedFetch: GuardedFetch }): JobHandler {
  sharp.cache(false)
  sharp.concurrency(1)
  sharp.block({ operation: ['VipsForeignLoad'] })
  sharp.unblock({ operation: ['Jpeg', 'Png', 'Webp', 'Heif', 'Nsgif', 'Tiff'].map((name) => `VipsForeignLoad${name}`) })
  return defineHandler(contract, async (input, ctx) => {
    const source = await loadSource(input.image, guardedFetch, ctx.signal)
    await refuseUnreadable(source)
    ctx.signal.throwIfAborted()
    const { data, info } = await render(source, input).catch(refuseBroken)
    if (data.length > maxOutputBytes) {
      const advice = 'ask for a smaller one, or for webp or jpeg'
      throw new PermanentError(
        `The thumbnail has ${data.length} bytes, more than ${maxOutputBytes}: ${advice}`,
        'output_too_large',
      )
    }
    return { base64: data.toString('base64'), width: info.width, height: info.height, format: input.format ?? 'webp' }
  })
}

async function loadSource(image: Input['image'], guardedFetch: GuardedFetch, signal: AbortSignal): Promise<Buffer> {
  if ('base64' in image) return Buffer.from(image.base64, 'base64')
  const { bytes, truncated } = await fetchForJob(guardedFetch, image.url, { signal, maxBodyBytes: maxSourceBytes })
  if (truncated) throw new PermanentError(`The image has more than ${maxSourceBytes} bytes`, 'image_too_large')
  return bytes
}

/** Reads the header only, so that a small file which claims to be huge is refused before any pixel is decoded. */
async function refuseUnreadable(source: Buffer): Promise<void> {
  const { width, height }: Metadata = await sharp(source, { limitInputPixels: false }).metadata().catch(refuseBroken)
  if (width * height <= maxSourcePixels) return
  throw new PermanentError(`The image has ${width} × ${height} pixels, more than ${maxSourcePixels}`, 'image_too_large')
}

function render(source: Buffer, { width, height, fit, format = 'webp' }: Input) {
  const size = height === undefined ? { height: maxSide, fit: 'inside' as const } : { height, fit: fit ?? 'cover' }
  const image = sharp(source, { limitInputPixels: maxSourcePixels })
    .autoOrient()
    .resize({ width, ...size, background: { r: 255, g: 255, b: 255, alpha: 0 } })
    .timeout({ seconds: maxWorkSeconds })
  return encode(image, format).toBuffer({ resolveWithObject: true })
}

/**
 * AVIF at its least effort: 2048 × 2048 pixels of noise take 1.2 s, at the default effort 83 s, and the file is no
 * bigger (sharp 0.35.5, one thread). libvips cannot give up within the encoder.
 */
function encode(image: Sharp, format: NonNullable<Input['format']>): Sharp {
  if (format === 'avif') return image.avif({ effort: 0 })
  return format === 'jpeg' ? image.flatten({ background: 'white' }).jpeg() : image.toFormat(format)
}

/** Everything that libvips says is about the image, except that the time is up, which may be for want of a free thread. */
function refuseBroken(error: Error): never {
  if (error.message.startsWith('timeout')) throw error
  throw new PermanentError(`The image cannot be read: ${error.message}`, 'image_unreadable', { cause: error })
}
