// Apollo's multipart subscriptions, by Apollo Client's own HttpLink; and everything else under that Accept header.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ApolloClient, CombinedProtocolErrors, HttpLink, InMemoryCache, gql } from '@apollo/client'
import { CHANGES, SUBMIT, makeDataset, startServer, submission } from './gradbook.js'

const ACCEPT = 'multipart/mixed;boundary=graphql;subscriptionSpec=1.0'

let server
before(async () => (server = await startServer()))
after(() => server?.stop())

/** A client, and the Accept header and the Content-Type of the answer of each of its requests. */
function connect(context, { authorization = server.authorization, ...options } = {}) {
  const seen = []
  const watched = async (url, request) => {
    const response = await fetch(url, request)
    seen.push([request.headers.accept, response.headers.get('content-type').split(';')[0]])
    return response
  }
  const link = new HttpLink({ uri: server.url, headers: authorization ? { authorization } : {}, fetch: watched, ...options })
  const client = new ApolloClient({ link, cache: new InMemoryCache(), defaultOptions: { query: { fetchPolicy: 'no-cache' } } })
  context.after(() => client.stop())
  return { client, seen }
}

/** The results of a subscription one by one, and what ended it: an error, or nothing. */
function subscribe(client, query, variables) {
  const waiting = []
  const results = []
  const settle = (result) => (waiting.length ? waiting.shift()(result) : results.push(result))
  const subscription = client.subscribe({ query: gql(query), variables, fetchPolicy: 'no-cache' }).subscribe({
    next: settle,
    error: (error) => settle({ ended: error }),
    complete: () => settle({ ended: null }),
  })
  const next = () => (results.length ? results.shift() : new Promise((resolve) => waiting.push(resolve)))
  return { next, end: () => subscription.unsubscribe() }
}

const ids = ({ data }) => data.recordChanged.records.map(({ id }) => id)

test('a subscription tells what changes, and another one goes on where it ended', async (context) => {
  const { datasetId, recordIds } = await makeDataset(server, 'multipart', 3)
  const { client, seen } = connect(context)
  const first = subscribe(client, CHANGES, { dataset: datasetId })
  assert.deepEqual(ids(await first.next()), [])
  await client.mutate({ mutation: gql(SUBMIT), variables: submission(recordIds[0]) })
  const told = await first.next()
  assert.deepEqual(ids(told), [recordIds[0]])
  first.end()
  await server.run(SUBMIT, submission(recordIds[1])) // while nobody listens
  const second = subscribe(client, CHANGES, { dataset: datasetId, after: told.data.recordChanged.cursor })
  assert.deepEqual(ids(await second.next()), [recordIds[1]])
  second.end()
  const [[accept, type], [, mutation]] = seen
  assert.ok(accept.startsWith(ACCEPT), accept)
  assert.deepEqual([type, mutation], ['multipart/mixed', 'application/graphql-response+json'])
})

test('queries and mutations under that Accept header are answered in JSON', async (context) => {
  const { recordIds } = await makeDataset(server, 'plain', 1)
  const { client, seen } = connect(context)
  const http = { accept: [`${ACCEPT}, application/json`] }
  const { data } = await client.query({ query: gql('query Me { viewer { username } }'), context: { http } })
  assert.equal(data.viewer.username, 'owner')
  await client.mutate({ mutation: gql(SUBMIT), variables: submission(recordIds[0]), context: { http } })
  assert.deepEqual(
    seen.map(([accept, type]) => [accept.includes('subscriptionSpec'), type.startsWith('application/')]),
    [
      [true, true],
      [true, true],
    ],
  )
})

test('what is wrong with a subscription is told as errors of its own', async (context) => {
  const { client } = connect(context)
  const invalid = await subscribe(client, 'subscription { nothing }').next()
  assert.match(`${invalid.error ?? invalid.ended}`, /Cannot query field/)
  const unknown = await subscribe(client, CHANGES, { dataset: 'dst_1' }).next()
  assert.match(`${unknown.error ?? unknown.ended}`, /dst_1/)
  const wrong = await subscribe(connect(context, { authorization: 'Bearer x' }).client, CHANGES, { dataset: 'dst_1' }).next()
  assert.match(`${wrong.error ?? wrong.ended}`, /API key|401/)
})

test('a stream whose key is revoked ends with a protocol error', async (context) => {
  const { datasetId } = await makeDataset(server, 'revoked', 1)
  const made = await server.run(
    'mutation { createApiKey(input: { name: "short" }) { secret apiKey { id } errors { message } } }',
  )
  const { client } = connect(context, { authorization: `Bearer ${made.createApiKey.secret}` })
  const stream = subscribe(client, CHANGES, { dataset: datasetId })
  assert.deepEqual(ids(await stream.next()), [])
  await server.run('mutation ($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { errors { message } } }', {
    input: { id: made.createApiKey.apiKey.id },
  })
  const { error } = await stream.next()
  assert.ok(CombinedProtocolErrors.is(error), `${error}`)
  assert.equal(error.errors[0].extensions.code, 'UNAUTHENTICATED')
})
