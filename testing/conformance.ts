import type { Document, Operation, Reference, Response } from '@jobyard/api/openapi/document'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

/** An operation, and where it is in the document. */
export interface Route {
  readonly method: string
  readonly path: string
  readonly operation: Operation
}

/** An answer as it came. */
export interface Answered {
  readonly status: number
  readonly contentType: string | undefined
  readonly body: string
}

/** @returns every operation of a document. */
export function routesOf({ paths }: Document): Route[] {
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  )
}

/** Compares answers with what an OpenAPI document says of them. */
export class Conformance {
  readonly #document: Document
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: true })
  readonly #validators = new Map<string, ValidateFunction>()

  constructor(document: Document) {
    this.#document = document
    addFormats.default(this.#ajv)
    this.#ajv.addSchema(document, 'api')
  }

  /** @returns what is wrong with an answer, undefined when nothing is. */
  complaint(
    { method, path }: Pick<Route, 'method' | 'path'>,
    { status, contentType, body }: Answered,
  ): string | undefined {
    const operation = this.#document.paths[path]?.[method.toLowerCase()]
    const response = operation?.responses[status]
    if (!response) return `the status ${status} is not documented: ${body.slice(0, 300)}`
    const { at, content } = this.#resolve(response, ['paths', path, method.toLowerCase(), 'responses', String(status)])
    if (!content) return body === '' ? undefined : `a body where none is documented: ${body.slice(0, 300)}`
    const type = contentType?.split(';')[0]
    if (type === undefined || !(type in content)) return `the content type ${type} is not documented for ${status}`
    if (!type.endsWith('json')) return undefined
    for (const text of type.endsWith('x-ndjson') ? body.trim().split('\n') : [body]) {
      const complaint = this.#misfit([...at, 'content', type, 'schema'], text, status)
      if (complaint) return complaint
    }
    return undefined
  }

  #misfit(at: readonly string[], text: string, status: number): string | undefined {
    const value = JSON.parse(text) as { status?: unknown }
    if (status >= 400 && at.includes('application/problem+json') && value.status !== status)
      return `a problem of ${String(value.status)} was sent as ${status}`
    const validate = this.#validator(at)
    if (validate(value)) return undefined
    const [error] = validate.errors ?? []
    return `${status} ${error?.instancePath} ${error?.message} ${JSON.stringify(error?.params)}: ${text.slice(0, 300)}`
  }

  #resolve(response: Response | Reference, at: string[]): { at: string[]; content: Response['content'] } {
    if (!('$ref' in response)) return { at, content: response.content }
    const referred = response.$ref.split('/').slice(1)
    const name = referred.at(-1) ?? ''
    const { content } = (this.#document.components.responses ?? {})[name] as Response
    return { at: referred, content }
  }

  #validator(at: readonly string[]): ValidateFunction {
    const pointer = at.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')
    const known = this.#validators.get(pointer) ?? this.#ajv.compile({ $ref: `api#/${pointer}` })
    this.#validators.set(pointer, known)
    return known
  }
}
