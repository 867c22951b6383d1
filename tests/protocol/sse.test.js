// GraphQL over Server-Sent Events, one connection for each operation, by the protocol's own client.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { NetworkError, createClient } from 'graphql-sse'
import { VIEWER, all, followsAndResumes } from './clients.js'
import { SUBMIT, makeDataset, startServer, submission } from './gradbook.js'

let server
before(async () => (server = await startServer()))
after(() => server?.stop())

function connect(context, headers = { authorization: server.authorization }) {
  const client = createClient({ url: server.url, headers, retryAttempts: 0 })
  context.after(() => client.dispose())
  return client
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

test('a subscription tells what changes, and goes on where another one ended', (context) =>
  followsAndResumes(server, () => connect(context)))

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
