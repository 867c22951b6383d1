// A client that is checked by its types: what is marked as an error has to be one.
import type { TypedDocumentNode } from '@graphql-typed-document-node/core'
import { ChangesDocument, CreateTaskDocument, RecordsDocument } from './generated.js'

declare function run<Result, Variables>(
  document: TypedDocumentNode<Result, Variables>,
  variables: Variables,
): Promise<Result>

export async function pending(dataset: string): Promise<string[]> {
  const where = { status: { eq: 'PENDING' as const } }
  const { dataset: found } = await run(RecordsDocument, { dataset, first: 10, where })
  return found?.records.edges.map(({ node }) => node.id) ?? []
}

export async function create(): Promise<number | null | undefined> {
  const { createTrainTask } = await run(CreateTaskDocument, { input: { modelName: 'flux', learningRate: 1e-4 } })
  const [error] = createTrainTask.errors
  if (error) throw new Error(`${error.code}: ${error.message}`)
  return createTrainTask.task?.learningRate
}

export async function wrong(dataset: string): Promise<void> {
  // @ts-expect-error `first` is demanded
  await run(RecordsDocument, { dataset })
  // @ts-expect-error there is no such status
  await run(RecordsDocument, { dataset, first: 1, where: { status: { eq: 'DONE' } } })
  // @ts-expect-error an id is a text
  await run(ChangesDocument, { dataset: 1 })
  const { recordChanged } = await run(ChangesDocument, { dataset })
  // @ts-expect-error there is no such field
  recordChanged.nothing
}
