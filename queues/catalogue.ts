import { echo } from './contracts/echo.ts'
import { emailSend } from './contracts/email-send.ts'
import { githubEvent } from './contracts/github-event.ts'
import { httpRequest } from './contracts/http-request.ts'
import { imageThumbnail } from './contracts/image-thumbnail.ts'
import { webhookDeliver } from './contracts/webhook-deliver.ts'
import type { Contract } from './define-job.ts'

/** All contracts that a process knows. */
export interface Catalogue {
  readonly contracts: readonly Contract[]
  /** Names of the queues that the contracts use, each once. */
  readonly queues: readonly string[]
  /** Names of the types that may be submitted: internal ones are left out. */
  readonly types: readonly string[]
  /** The contract of a type, internal ones included, or undefined. */
  get(type: string): Contract | undefined
}

/**
 * Makes a catalogue of contracts.
 *
 * @throws TypeError when two contracts have the same type.
 */
export function createCatalogue(contracts: readonly Contract[]): Catalogue {
  const byType = new Map(contracts.map((contract) => [contract.type, contract]))
  const duplicate = contracts.find((contract) => byType.get(contract.type) !== contract)
  if (duplicate) throw new TypeError(`Two contracts have the type ${duplicate.type}`)
  const types = contracts.filter((contract) => !contract.internal).map((contract) => contract.type)
  return {
    contracts,
    queues: [...new Set(contracts.map((contract) => contract.queue))],
    types,
    get: (type) => byType.get(type),
  }
}

/** The types of this installation. A type of your own: add its contract here and its handler in `workers/handlers/index.ts`. */
const types = [echo, httpRequest, emailSend, imageThumbnail, githubEvent]

/** These, and those of the platform's own. */
export const catalogue = createCatalogue([...types, webhookDeliver])
