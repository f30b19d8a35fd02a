import type { GuardedFetch } from '@jobyard/outbound/guarded-fetch'
import type { Handler } from '../define-handler.ts'
import { echo } from './echo.ts'
import { emailSend } from './email-send.ts'
import { githubEvent } from './github-event.ts'
import { httpRequest } from './http-request.ts'
import { imageThumbnail } from './image-thumbnail.ts'

/** What handlers need besides their input; made once per process. */
export interface HandlerDependencies {
  /** Mail server of `email.send`; undefined where there is none. */
  readonly smtpUrl: string | undefined
  readonly guardedFetch: GuardedFetch
}

/** The handlers of this installation, one for each type that workers run. A handler of your own is added here. */
export function createHandlers({ smtpUrl, guardedFetch }: HandlerDependencies): Handler[] {
  return [echo, httpRequest({ guardedFetch }), emailSend({ smtpUrl }), imageThumbnail({ guardedFetch }), githubEvent]
}
