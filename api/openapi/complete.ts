import type { Document, Operation, Response } from './document.ts'
import { examples } from './examples.ts'
import { headersOf, parametersOf, sharedParameters } from './headers.ts'
import { withStyle } from './parameter-styles.ts'
import { tidySchemas } from './tidy-schemas.ts'
import { problemResponses, responseOf } from './problem-responses.ts'

/** What a success says when its schema does not. */
const successes: Record<string, string> = {
  '200': 'Done, or read',
  '201': 'Made',
  '202': 'Accepted',
  '204': 'Done; there is nothing to say',
}

/** @returns a document with what all routes have in common: the problems they may answer, headers, examples. */
export function completeDocument(document: Document): Document {
  for (const [path, operations] of Object.entries(document.paths))
    for (const [method, operation] of Object.entries(operations)) complete(path, method, operation)
  const { components } = document
  return tidySchemas({
    ...document,
    components: { ...components, responses: problemResponses, parameters: sharedParameters },
  })
}

function complete(path: string, method: string, operation: Operation): void {
  const all = Object.entries(operation.responses) as [string, Response][]
  const successes = all.filter(([, response]) => !isProblem(response))
  for (const [status, response] of successes) describe(response, status, operation.operationId)
  const problems = all.filter(([, response]) => isProblem(response)).map(([status]) => status)
  operation.responses = {
    ...Object.fromEntries(
      [...problems, ...commonProblems(path, method, operation)].map((status) => [status, responseOf(status)]),
    ),
    ...Object.fromEntries(successes),
  }
  const parameters = [...(operation.parameters ?? []).map(withStyle), ...parametersOf(operation.operationId)]
  if (parameters.length > 0) operation.parameters = parameters
  addExamples(operation)
}

function describe(response: Response, status: string, operationId: string): void {
  if (response.description === 'Default Response') response.description = successes[status] ?? 'As the schema says'
  const headers = headersOf(operationId, status)
  if (headers) response.headers = headers
}

/** Routes say which problems they answer by the schema of their body. */
function isProblem({ content }: Response): boolean {
  const { $ref = '', properties = {} } = (content?.['application/json']?.schema ?? {}) as {
    $ref?: string
    properties?: object
  }
  return $ref.endsWith('/Problem') || 'detail' in properties
}

/** What any route answers that is made like this one. */
function commonProblems(path: string, method: string, { parameters = [], security }: Operation): string[] {
  const isPublic = security?.length === 0
  const mayHaveBody = method !== 'get'
  const hasQuery = parameters.some((parameter) => 'in' in parameter && parameter.in === 'query')
  return [
    '400',
    '431',
    ...(isPublic ? [] : ['401', '403', '429', '503']),
    ...(path.includes('{') ? ['404'] : []),
    ...(mayHaveBody ? ['408', '413', '415'] : []),
    ...(mayHaveBody || hasQuery ? ['422'] : []),
  ]
}

function addExamples({ operationId, requestBody }: Operation): void {
  for (const [type, media] of Object.entries(requestBody?.content ?? {})) {
    const named = examples[operationId]?.[type]
    if (named) media.examples = Object.fromEntries(Object.entries(named).map(([name, value]) => [name, { value }]))
  }
}
