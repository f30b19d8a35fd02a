import type { GithubPayload } from './github-payloads.ts'
import { repositoryOf } from './github-payloads.ts'
import type { Picture } from './pictures.ts'

/** A job that the demo submits, and what should become of it. */
export interface PlannedJob {
  readonly type: string
  readonly input: unknown
  readonly maxAttempts?: number
  /** Reason with which it is meant to fail; it is meant to complete when absent. */
  readonly failsWith?: string
  /** Attempts that must have failed before it completes; it may have had more. */
  readonly retries?: number
  /** What its output must say. */
  readonly repository?: string
  readonly thumbnail?: { readonly width: number; readonly height: number; readonly format: string }
  readonly mail?: { readonly to: string; readonly subject: string; readonly text: string }
  readonly order?: { readonly number: number; readonly body: string }
}

/** What the plan needs from the servers that the demo started. */
export interface PlanSources {
  readonly runId: string
  /** `host:port` of the receiver. */
  readonly receiver: string
  readonly payloads: readonly GithubPayload[]
  readonly photo: Picture
  readonly shipped: Picture | undefined
}

/** Orders that the receiver is too busy for at first, and addresses whose mail server asks to come again. */
export const busyFor = [7]
export const greylisted = ['grace@example.com']

const orders = 40
const recipients = ['ada', 'barbara', 'edsger', 'grace', 'tony'].map((name) => `${name}@example.com`)
const sizes = [
  { width: 1_280, format: 'jpeg' },
  { width: 640, format: 'webp' },
  { width: 320, format: 'png' },
  { width: 160, format: 'avif' },
]

/** Lays out every job of a run: real input of each type, some that need several attempts, and some that are meant to fail. */
export function planJobs(sources: PlanSources): PlannedJob[] {
  return [
    ...planEchoes(),
    ...planRequests(sources),
    ...planMails(sources),
    ...planThumbnails(sources),
    ...sources.payloads.map(planGithubEvent),
  ]
}

function planEchoes(): PlannedJob[] {
  const fail =
    (failTimes: number) =>
    (_: unknown, index: number): PlannedJob => ({
      type: 'echo',
      input: { value: index, failTimes },
      retries: failTimes,
    })
  return [
    ...Array.from({ length: 3 }, (): PlannedJob => ({
      type: 'echo',
      input: { value: null, failTimes: 9 },
      maxAttempts: 2,
      failsWith: 'error',
    })),
    ...Array.from({ length: 20 }, fail(1)),
    ...Array.from({ length: 5 }, fail(2)),
    ...Array.from({ length: 172 }, fail(0)),
  ]
}

function planRequests({ receiver, runId }: PlanSources): PlannedJob[] {
  const type = 'http.request'
  return [
    ...Array.from({ length: orders }, (_, number): PlannedJob => {
      const body = JSON.stringify({ order: number, run: runId })
      return {
        type,
        input: {
          url: `http://${receiver}/orders/${number}`,
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        },
        order: { number, body },
        ...(busyFor.includes(number) && { retries: 1 }),
      }
    }),
    { type, input: { url: `http://${receiver}/nothing-here` }, failsWith: 'http_status' },
    { type, input: { url: 'http://169.254.169.254/latest/meta-data/' }, failsWith: 'url_not_allowed' },
  ]
}

function planMails({ runId }: PlanSources): PlannedJob[] {
  return recipients.map((to) => {
    const mail = { to, subject: `Your order, run ${runId}`, text: `Dear ${to.split('@')[0]}, it is on its way.` }
    return { type: 'email.send', input: mail, mail, ...(greylisted.includes(to) && { retries: 1 }) }
  })
}

/** The photo is fetched by the worker, the smaller picture travels in the job itself. */
function planThumbnails({ receiver, photo, shipped }: PlanSources): PlannedJob[] {
  const of = (image: unknown, { width: fullWidth, height: fullHeight }: Picture) =>
    sizes.map(({ width, format }): PlannedJob => {
      const height = Math.round((width * fullHeight) / fullWidth)
      return { type: 'image.thumbnail', input: { image, width, format }, thumbnail: { width, height, format } }
    })
  return [
    ...of({ url: `http://${receiver}/photo.jpg` }, photo),
    ...(shipped ? of({ base64: shipped.bytes.toString('base64') }, shipped) : []),
  ]
}

function planGithubEvent({ event, payload }: GithubPayload): PlannedJob {
  const repository = repositoryOf(payload)
  return { type: 'github.event', input: { event, payload }, ...(repository !== undefined && { repository }) }
}
