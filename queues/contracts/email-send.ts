import { z } from 'zod'
import { defineJob } from '../define-job.ts'

const maxBodyLength = 500_000

/** One message to one recipient, so that a repeated attempt never reaches others a second time. */
export const emailSend = defineJob({
  type: 'email.send',
  queue: 'email',
  description:
    'Sends one message to one recipient over the mail server of SMTP_URL. Every attempt of a job bears the same ' +
    'Message-ID, by which a receiver knows a repeated message. Replies 5xx of the mail server fail the job at once.',
  input: z.strictObject({
    to: z.email().max(254),
    subject: z
      .string()
      .max(500)
      .regex(/^\P{Cc}*$/u, 'A subject is one line without control characters'),
    text: z.string().max(maxBodyLength).optional(),
    html: z.string().max(maxBodyLength).optional(),
    from: z
      .string()
      .max(360)
      .regex(
        /^(?:[^\p{Cc}<>"@]{1,100} <[^\s<>()"@,;:\\]{1,64}@[A-Za-z0-9.-]{1,253}>|[^\s<>()"@,;:\\]{1,64}@[A-Za-z0-9.-]{1,253})$/u,
        {
          error: 'Write an address, or a name followed by <address>',
        },
      )
      .optional()
      .describe(
        'An address or `Name <address>`. If left out: the user of SMTP_URL if it is an address, else jobyard@localhost.',
      ),
  }),
  output: z.strictObject({
    messageId: z.string(),
    response: z.string().describe('What the mail server replied.'),
  }),
})
