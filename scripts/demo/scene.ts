import { readGithubPayloads } from './github-payloads.ts'
import { startMailbox, type Mailbox } from './mailbox.ts'
import { findShippedPicture, takePhoto } from './pictures.ts'
import { busyFor, greylisted, planJobs, type PlannedJob } from './plan.ts'
import { startReceiver, type Receiver } from './receiver.ts'
import { startWebhookReceiver, type WebhookReceiver } from './webhooks.ts'

/** The world around the platform: servers that its jobs reach, and the jobs themselves. */
export interface Scene {
  readonly receiver: Receiver
  readonly webhookReceiver: WebhookReceiver
  readonly mailbox: Mailbox
  readonly plan: readonly PlannedJob[]
  /** What the platform's processes must know of this world. */
  readonly environment: NodeJS.ProcessEnv
  close(): void
}

/** Sets up the world of one run. */
export async function setScene(runId: string): Promise<Scene> {
  const [photo, shipped, payloads] = await Promise.all([takePhoto(), findShippedPicture(), readGithubPayloads()])
  const receiver = await startReceiver(photo.bytes, busyFor)
  const webhookReceiver = await startWebhookReceiver()
  const mailbox = await startMailbox(greylisted)
  return {
    receiver,
    webhookReceiver,
    mailbox,
    plan: planJobs({ runId, receiver: receiver.host, payloads, photo, shipped }),
    environment: { OUTBOUND_ALLOW: `${receiver.host},${webhookReceiver.host}`, SMTP_URL: mailbox.smtpUrl },
    close: () => {
      receiver.close()
      webhookReceiver.close()
      mailbox.close()
    },
  }
}
