import { z } from 'zod'
import { defineJob } from '../define-job.ts'

const side = z.int().min(1).max(2_048)
const format = z.enum(['webp', 'jpeg', 'png', 'avif'])

/** Makes a small picture of a big one. */
export const imageThumbnail = defineJob({
  type: 'image.thumbnail',
  queue: 'images',
  description:
    'Scales a JPEG, PNG, WebP, AVIF, GIF or TIFF image, turned upright, without its metadata; of an animation the ' +
    'first frame. The source may have 20 MB and 40 megapixels. An image that cannot be read fails the job at once.',
  input: z.strictObject({
    image: z
      .union(
        [
          z.strictObject({ url: z.url({ protocol: /^https?$/ }).max(2_048) }),
          z.strictObject({ base64: z.base64().min(4).max(8_000_000) }),
        ],
        { error: 'Give either { "url": … } or { "base64": … }' },
      )
      .describe('Where the image is, or the image itself. What url may reach: see http.request.'),
    width: side.describe('Pixels.'),
    height: side.optional().describe('Pixels. If left out it follows from the width, within 2048.'),
    fit: z
      .enum(['cover', 'contain', 'fill', 'inside'])
      .optional()
      .describe(
        'How the image fits into width × height: cover crops (default), contain adds borders, fill distorts, inside shrinks one side.',
      ),
    format: format.optional().describe('webp if left out.'),
  }),
  output: z.strictObject({
    base64: z.base64(),
    width: z.int(),
    height: z.int(),
    format,
  }),
})
