// What every client has to be able to do, whatever protocol it speaks.
import assert from 'node:assert/strict'
import { CHANGES, SUBMIT, makeDataset, submission } from './gradbook.js'

export const VIEWER = '{ viewer { username } }'

/** All results of an operation, without their cost, which varies; what the client throws is thrown. */
export async function all(client, query, variables, operationName) {
  const results = []
  for await (const { extensions, ...result } of client.iterate({ query, variables, operationName })) {
    if (extensions !== undefined) assert.deepEqual(Object.keys(extensions.cost), ['requested', 'limit', 'remaining'])
    results.push(result)
  }
  return results
}

/** A subscription tells what changes; another one, of a new client, goes on where it ended. */
export async function followsAndResumes(server, connect) {
  const { datasetId, recordIds } = await makeDataset(server, 'resumed', 3)
  const first = connect().iterate({ query: CHANGES, variables: { dataset: datasetId } })
  const start = (await first.next()).value.data.recordChanged
  assert.deepEqual(start.records, [])
  await server.run(SUBMIT, submission(recordIds[0]))
  const seen = (await first.next()).value.data.recordChanged
  assert.deepEqual(seen.records, [{ id: recordIds[0], status: 'COMPLETED', submittedCount: 1 }])
  await first.return()

  await server.run(SUBMIT, submission(recordIds[1])) // while nobody listens
  const second = connect().iterate({ query: CHANGES, variables: { dataset: datasetId, after: seen.cursor } })
  const missed = (await second.next()).value.data.recordChanged
  assert.deepEqual(
    missed.records.map((record) => record.id),
    [recordIds[1]],
  )
  await second.return()
}
