// graphql-transport-ws, by the protocol's own client, and by a bare socket where the client would never do such a thing.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { CloseCode, GRAPHQL_TRANSPORT_WS_PROTOCOL, createClient } from 'graphql-ws'
import WebSocket from 'ws'
import { VIEWER, all, followsAndResumes } from './clients.js'
import { CHANGES, SUBMIT, makeDataset, startServer, submission } from './gradbook.js'

let server
before(async () => (server = await startServer({ max_subscriptions: 5 })))
after(() => server?.stop())

function connect(context, options = {}) {
  const client = createClient({
    url: server.socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: { Authorization: server.authorization },
    retryAttempts: 0,
    ...options,
  })
  context.after(() => client.dispose())
  return client
}

test('connectionParams say who it is', async (context) => {
  assert.deepEqual(await all(connect(context), VIEWER), [{ data: { viewer: { username: 'owner' } } }])
  const anonymous = connect(context, { connectionParams: undefined })
  assert.deepEqual(await all(anonymous, VIEWER), [{ data: { viewer: null } }])
})

test('a wrong key closes with 4403', async (context) => {
  const client = connect(context, { connectionParams: { Authorization: `Bearer gb_${'x'.repeat(43)}` } })
  await assert.rejects(all(client, VIEWER), (event) => event.code === CloseCode.Forbidden && /API key/.test(event.reason))
})

test('a mutation and a query, side by side on one socket', async (context) => {
  const { recordIds } = await makeDataset(server, 'side by side', 2)
  const client = connect(context)
  const [submitted, [viewer]] = await Promise.all([all(client, SUBMIT, submission(recordIds[0])), all(client, VIEWER)])
  assert.deepEqual(submitted, [
    { data: { submitResponse: { record: { id: recordIds[0], status: 'COMPLETED' }, errors: [] } } },
  ])
  assert.deepEqual(viewer.data, { viewer: { username: 'owner' } })
})

test('a subscription tells what changes, and goes on where another one ended', (context) =>
  followsAndResumes(server, () => connect(context)))

test('an operation that the client has left takes no place any more', async (context) => {
  const { datasetId } = await makeDataset(server, 'left', 0)
  const client = connect(context, { lazy: false })
  const query = { query: CHANGES, variables: { dataset: datasetId } }
  for (let number = 0; number < 20; number++) {
    const results = client.iterate(query)
    assert.deepEqual((await results.next()).value.data.recordChanged.records, [])
    await results.return()
  }
  const open = Array.from({ length: 5 }, () => client.iterate(query))
  for (const results of open) await results.next()
  await assert.rejects(all(client, CHANGES, query.variables), ([error]) => error.extensions.code === 'LIMIT_EXCEEDED')
})

test('what is wrong with a document is an error of that operation, and the socket stays', async (context) => {
  const client = connect(context, { lazy: false })
  let sockets = 0
  client.on('connected', () => sockets++)
  const wrong = [
    ['{', undefined, /Syntax Error/],
    ['{ nothing }', undefined, /Cannot query field/],
    ['query A { viewer { id } }', 'B', /no operation 'B'/],
    ['query A { viewer { id } } query B { viewer { id } }', undefined, /several operations/],
  ]
  for (const [query, name, message] of wrong) {
    await assert.rejects(all(client, query, undefined, name), ([error]) => message.test(error.message))
  }
  assert.deepEqual(await all(client, VIEWER), [{ data: { viewer: { username: 'owner' } } }])
  assert.equal(sockets, 1)
})

test("the client's pings are answered", async (context) => {
  const client = connect(context, { lazy: false, keepAlive: 50 })
  await new Promise((resolve) => client.on('pong', (received) => received && resolve()))
})

/** A bare socket that is open. */
async function raw(...subprotocols) {
  const socket = new WebSocket(server.socketUrl, subprotocols)
  await once(socket, 'open')
  return socket
}

/** The code that the server closes with after these messages. */
async function closeCode(socket, ...messages) {
  const closed = once(socket, 'close')
  for (const message of messages) socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  const [code] = await closed
  return code
}

const INIT = { type: 'connection_init' }
const SUBSCRIBE = { type: 'subscribe', id: '1', payload: { query: VIEWER } }

test('what the protocol forbids closes with its code', async () => {
  const bad = ['', '[]', '"ping"', 'null', '{"type":1}', '['.repeat(50_000), { ...SUBSCRIBE, id: 1 }, { ...SUBSCRIBE, payload: [] }]
  for (const message of bad) assert.equal(await closeCode(await raw(GRAPHQL_TRANSPORT_WS_PROTOCOL), message), CloseCode.BadRequest, String(message))
  assert.equal(await closeCode(await raw(GRAPHQL_TRANSPORT_WS_PROTOCOL), SUBSCRIBE), CloseCode.Unauthorized)
  assert.equal(await closeCode(await raw(GRAPHQL_TRANSPORT_WS_PROTOCOL), INIT, INIT), CloseCode.TooManyInitialisationRequests)
  assert.equal(await closeCode(await raw()), CloseCode.SubprotocolNotAcceptable)
})

test('one id names one operation', async () => {
  const { datasetId } = await makeDataset(server, 'twice', 0)
  const socket = await raw(GRAPHQL_TRANSPORT_WS_PROTOCOL)
  socket.send(JSON.stringify({ ...INIT, payload: { Authorization: server.authorization } }))
  await once(socket, 'message')
  const stream = { ...SUBSCRIBE, payload: { query: CHANGES, variables: { dataset: datasetId } } }
  assert.equal(await closeCode(socket, stream, stream), CloseCode.SubscriberAlreadyExists)
})

test('who does not begin is closed after seconds', async () => {
  assert.equal(await closeCode(await raw(GRAPHQL_TRANSPORT_WS_PROTOCOL)), CloseCode.ConnectionInitialisationTimeout)
})
