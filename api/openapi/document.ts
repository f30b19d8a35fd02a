/* The parts of an OpenAPI 3.1 document that are looked at here. */

export interface Reference {
  readonly $ref: string
}
export interface Schema {
  readonly [keyword: string]: unknown
}
export interface Header {
  readonly description: string
  readonly schema: Schema
}
export interface Parameter extends Header {
  readonly in: 'path' | 'query' | 'header'
  readonly name: string
  readonly required?: boolean
  readonly style?: unknown
}
export interface Media {
  readonly schema: Schema
  examples?: Record<string, { readonly value: unknown }>
}
export interface Response {
  description: string
  headers?: Record<string, Header>
  readonly content?: Record<string, Media>
}
export interface Operation {
  readonly operationId: string
  readonly security?: readonly object[]
  readonly requestBody?: { readonly content: Record<string, Media>; readonly required?: boolean }
  parameters?: (Parameter | Reference)[]
  responses: Record<string, Response | Reference>
}
export interface Document {
  readonly paths: Record<string, Record<string, Operation>>
  components: Record<string, Record<string, unknown>>
}
