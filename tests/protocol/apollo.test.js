// Automatic persisted queries, by Apollo Client's own link; over a socket by graphql-ws.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client'
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries'
import { GraphQLWsLink } from '@apollo/client/link/subscriptions'
import { print } from 'graphql'
import { createClient } from 'graphql-ws'
import WebSocket from 'ws'
import { startServer } from './gradbook.js'

let server
before(async () => (server = await startServer()))
after(() => server?.stop())

const sha256 = (text) => createHash('sha256').update(text).digest('hex')

/** A client that persists its queries, and what it sent: by what method, and whether with the text. */
function persisting(options) {
  const sent = []
  const watched = (url, request) => {
    const text = request.method === 'GET' ? new URL(url).searchParams.has('query') : 'query' in JSON.parse(request.body)
    sent.push(`${request.method} ${text ? 'text' : 'hash'}`)
    return fetch(url, request)
  }
  const http = new HttpLink({ uri: server.url, headers: { authorization: server.authorization }, fetch: watched })
  const link = ApolloLink.from([new PersistedQueryLink({ sha256, ...options }), http])
  return { client: new ApolloClient({ link, cache: new InMemoryCache() }), sent }
}

const ask = (client, query) => client.query({ query, fetchPolicy: 'no-cache' })

test('a text is sent once, and then its hash', async () => {
  const query = gql`query First { viewer { username } }`
  const { client, sent } = persisting()
  for (let number = 0; number < 2; number++) {
    const { data } = await ask(client, query)
    assert.equal(data.viewer.username, 'owner')
  }
  assert.deepEqual(sent, ['POST hash', 'POST text', 'POST hash'])
})

test('hashes go by GET', async () => {
  const query = gql`query Second { viewer { username } }`
  const { client, sent } = persisting({ useGETForHashedQueries: true })
  for (let number = 0; number < 2; number++) {
    const { data } = await ask(client, query)
    assert.equal(data.viewer.username, 'owner')
  }
  assert.deepEqual(sent, ['GET hash', 'POST text', 'GET hash'])
})

test('a socket knows the hashes of all, and takes new ones', async (context) => {
  const query = gql`query Third { viewer { username __typename } }` // else Apollo Client adds it
  await ask(persisting().client, query)
  const socket = createClient({
    url: server.socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: { Authorization: server.authorization },
  })
  context.after(() => socket.dispose())
  const run = (query, text) => {
    const extensions = { persistedQuery: { version: 1, sha256Hash: sha256(text) } }
    return socket.iterate({ query, extensions }).next()
  }
  const { value } = await run('', print(query))
  assert.deepEqual(value.data.viewer, { username: 'owner', __typename: 'User' })
  const text = '{ viewer { role } }'
  await assert.rejects(run('', text), ([error]) => error.extensions.code === 'PERSISTED_QUERY_NOT_FOUND')
  for (const query of [text, '']) {
    assert.deepEqual((await run(query, text)).value.data, { viewer: { role: 'OWNER' } })
  }
})

test("Apollo's link over a socket sends the text with its hash, which others then name", async (context) => {
  const query = gql`query Fourth { viewer { username __typename } }`
  const options = { url: server.socketUrl, webSocketImpl: WebSocket, connectionParams: { Authorization: server.authorization } }
  const socket = createClient({ ...options, lazy: false })
  context.after(() => socket.dispose())
  const link = ApolloLink.from([new PersistedQueryLink({ sha256 }), new GraphQLWsLink(socket)])
  const { data } = await ask(new ApolloClient({ link, cache: new InMemoryCache() }), query)
  assert.equal(data.viewer.username, 'owner')
  const { client, sent } = persisting()
  assert.equal((await ask(client, query)).data.viewer.username, 'owner')
  assert.deepEqual(sent, ['POST hash'])
})
