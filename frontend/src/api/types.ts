/** Names for the shapes of the API. They come from openapi.json: what changes there is seen here. */

import type { components, operations } from './schema'

type Schemas = components['schemas']

/** The calls of the API, by their names: `getTask`, `createTask`, … */
export type Call = keyof operations

type Json<Content> = Content extends { content: { 'application/json': infer Body } } ? Body : never
type Ok<Operation> = Operation extends { responses: { 200: infer Answer } } ? Json<Answer> : never

/** What a call answers, out of its envelope. */
export type Data<Name extends Call> =
  Ok<operations[Name]> extends { data: infer Content } ? Content : unknown

/** What a call takes in its query. */
export type Query<Name extends Call> = operations[Name] extends {
  parameters: { query?: infer Parameters }
}
  ? Parameters
  : never

/** What a call takes in its body. */
export type Body<Name extends Call> = operations[Name] extends { requestBody?: infer Given }
  ? Json<NonNullable<Given>>
  : never

export type Task = Schemas['Task']
export type TaskPage = Schemas['TaskPage']
export type TaskRequest = Schemas['TaskRequest']
export type TaskError = Schemas['TaskError']
export type Status = Schemas['Status']
export type Metrics = Schemas['Metrics']
export type MetricPoint = Schemas['MetricPoint']
export type Device = Schemas['Device']
export type Argument = Schemas['Argument']
export type ModelList = Schemas['ModelList']
export type CatalogueModel = Schemas['CatalogueModel']
export type InspectedModel = Schemas['InspectedModel']

export const STATUSES = ['pending', 'running', 'completed', 'failed', 'stopped'] as const satisfies readonly Status[]

export type Me = Data<'getMe'>
export type Directory = Data<'listDirectory'>
export type DirectoryEntry = Directory['entries'][number]
export type Machine = Data<'getMachine'>
export type Preset = Data<'getTrainingPresets'>[number]
export type Statistics = Data<'getTaskStatistics'>
export type SparklineData = Data<'getTaskSparklines'>[number]
export type TaskEvent = Data<'getTaskEvents'>['events'][number]
export type LogPage = Data<'readTaskLog'>
export type LogMatches = Data<'searchTaskLog'>
export type CheckedTask = Data<'checkTask'>
