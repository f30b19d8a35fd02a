import { createGuardedFetch } from '@jobyard/outbound/guarded-fetch'
import { catalogue } from '@jobyard/queues/catalogue'
import { expect, it } from 'vitest'
import { createHandlers } from './index.ts'

it('there is exactly one handler for every contract of the catalogue', () => {
  const guardedFetch = createGuardedFetch({ allow: [], timeoutMs: 1, maxBodyBytes: 1, maxHeaderBytes: 1 })
  const handled = createHandlers({ smtpUrl: undefined, guardedFetch }).map(({ contract }) => contract)
  expect(handled).toEqual(catalogue.contracts.filter(({ type }) => type !== 'webhook.deliver'))
})
