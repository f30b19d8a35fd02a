import type { Sql } from '@jobyard/db/connect'
import { insertEndpoint, type EndpointRow, type NewEndpoint } from '@jobyard/db/endpoints'
import { newId } from '@jobyard/db/ids'
import { SecretBox } from '@jobyard/queues/secret-box'
import { newWebhookSecret } from '@jobyard/queues/webhook-signature'

/** The secret of the installation in tests. */
export const secretOfTests = 'secret-of-tests'

/** An endpoint, and the secret that its receiver knows. */
export interface TestEndpoint {
  readonly endpoint: EndpointRow
  readonly secret: string
}

/** Stores an endpoint that wants what ends jobs. @param installation its secret, under which that of the endpoint is stored. */
export async function addEndpoint(
  sql: Sql,
  overrides: Partial<NewEndpoint> = {},
  installation = secretOfTests,
): Promise<TestEndpoint> {
  const id = newId()
  const secret = newWebhookSecret()
  const endpoint = await insertEndpoint(sql, {
    id,
    tenant: 'default',
    url: 'https://receiver.example',
    description: '',
    events: [],
    jobTypes: [],
    tags: [],
    includeOutput: false,
    headers: null,
    secret: new SecretBox(installation).seal(secret, id),
    maxInFlight: 5,
    ...overrides,
  })
  return { endpoint, secret }
}
