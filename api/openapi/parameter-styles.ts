import type { Parameter, Reference } from './document.ts'

/** How a parameter is written belongs to it, but can be said in its schema only. */
export function withStyle(parameter: Parameter | Reference): Parameter | Reference {
  if (!('schema' in parameter) || parameter.schema.style === undefined) return parameter
  const { style, explode, ...schema } = parameter.schema
  return { ...parameter, schema, style, explode } as Parameter
}
