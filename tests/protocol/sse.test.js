// GraphQL over Server-Sent Events, one connection for each operation, by the protocol's own client.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { NetworkError, createClient } from 'graphql-sse'
import { CHANGES, SUBMIT, makeDataset, startServer, submission } from './gradbook.js'

const VIEWER = '{ viewer { username } }'

let server
before(async () => (server = await startServer()))
after(() => server?.stop())

function connect(context, headers = { authorization: server.authorization }) {
  const client = createClient({ url: server.url, headers, retryAttempts: 0 })
  context.after(() => client.dispose())
  return client
}

async function all(client, query, variables) {
  const results = []
  for await (const result of client.iterate({ query, variables })) results.push(result)
  return results
}

test('headers say who it is', async (context) => {
  assert.deepEqual(await all(connect(context), VIEWER), [{ data: { viewer: { username: 'owner' } } }])
  assert.deepEqual(await all(connect(context, {}), VIEWER), [{ data: { viewer: null } }])
  const wrong = connect(context, { authorization: `Bearer gb_${'x'.repeat(43)}` })
  await assert.rejects(all(wrong, VIEWER), (error) => error instanceof NetworkError && error.response.status === 401)
})

test('a mutation', async (context) => {
  const { recordIds } = await makeDataset(server, 'mutation', 1)
  const [result] = await all(connect(context), SUBMIT, submission(recordIds[0]))
  assert.deepEqual(result.data.submitResponse, { record: { id: recordIds[0], status: 'COMPLETED' }, errors: [] })
})

test('a subscription tells what changes, and goes on where another one ended', async (context) => {
  const { datasetId, recordIds } = await makeDataset(server, 'resumed', 3)
  const first = connect(context).iterate({ query: CHANGES, variables: { dataset: datasetId } })
  const start = (await first.next()).value.data.recordChanged
  assert.deepEqual(start.records, [])
  await server.run(SUBMIT, submission(recordIds[0]))
  const seen = (await first.next()).value.data.recordChanged
  assert.deepEqual(seen.records, [{ id: recordIds[0], status: 'COMPLETED', submittedCount: 1 }])
  await first.return()

  await server.run(SUBMIT, submission(recordIds[1])) // while nobody listens
  const second = connect(context).iterate({ query: CHANGES, variables: { dataset: datasetId, after: seen.cursor } })
  const missed = (await second.next()).value.data.recordChanged
  assert.deepEqual(
    missed.records.map((record) => record.id),
    [recordIds[1]],
  )
  await second.return()
})

test('what is wrong with a document is a result with errors, and then the end', async (context) => {
  for (const [query, message] of [
    ['{', /Syntax Error/],
    ['{ nothing }', /Cannot query field/],
  ]) {
    const [result, ...more] = await all(connect(context), query)
    assert.match(result.errors[0].message, message)
    assert.equal(result.data, undefined)
    assert.deepEqual(more, [])
  }
})
