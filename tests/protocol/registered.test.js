// Registered operations: the manifests that the build tools of clients write, and those clients on a locked server.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from '@apollo/client'
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries'
import manifests from '@apollo/generate-persisted-query-manifest'
import persistedQueryLists from '@apollo/persisted-query-lists'
import { preset } from '@graphql-codegen/client-preset'
import { codegen } from '@graphql-codegen/core'
import { buildSchema, parse } from 'graphql'
import relayCompiler from 'relay-compiler'
import { createClient } from 'graphql-ws'
import WebSocket from 'ws'
import { ROOT, startServer } from './gradbook.js'

const { generatePersistedQueryIdsFromManifest } = persistedQueryLists
const SCHEMA = path.join(ROOT, 'schema.graphql')
const DOCUMENT = 'query Registered($first: Int) { viewer { username } workspaces(first: $first) { nodes { name } } }'
const EXPECTED = ['owner', 'default']

let server, folder
before(async () => {
  server = await startServer({ registered_only: true })
  folder = await mkdtemp(path.join(tmpdir(), 'gradbook-registered-'))
})
after(async () => {
  await server?.stop()
  if (folder) await rm(folder, { recursive: true })
})

const seen = ({ data }) => [data.viewer.username, data.workspaces.nodes[0].name]

/** A file of the test's folder with this content. */
async function written(name, content) {
  const file = path.join(folder, name)
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}

async function post(body) {
  const headers = { 'content-type': 'application/json', authorization: server.authorization }
  const response = await fetch(server.url, { method: 'POST', headers, body: JSON.stringify(body) })
  return response.json()
}

function assertRefused({ errors }) {
  assert.deepEqual(
    errors.map(({ extensions }) => extensions.code),
    ['OPERATION_NOT_REGISTERED'],
  )
}

test("Apollo's manifest, and Apollo Client that loads it", async (context) => {
  const documents = await written('apollo/query.graphql', DOCUMENT)
  const manifest = await manifests.generatePersistedQueryManifest({ documents }, undefined)
  const ids = generatePersistedQueryIdsFromManifest({ loadManifest: () => manifest })
  const http = new HttpLink({ uri: server.url, headers: { authorization: server.authorization } })
  const link = ApolloLink.from([new PersistedQueryLink(ids), http])
  const client = new ApolloClient({ link, cache: new InMemoryCache() })
  context.after(() => client.stop())
  const ask = () => client.query({ query: gql(DOCUMENT), fetchPolicy: 'no-cache' })
  await assert.rejects(ask(), (error) => {
    assert.ok(CombinedGraphQLErrors.is(error), `${error}`)
    assertRefused(error)
    return true
  })
  await server.command('operations', 'register', await written('apollo.json', manifest))
  assert.deepEqual(seen(await ask()), EXPECTED)
})

test('automatic persisted queries register nothing', async (context) => {
  const http = new HttpLink({ uri: server.url, headers: { authorization: server.authorization } })
  const sha256 = async () => 'a'.repeat(64)
  const client = new ApolloClient({ link: ApolloLink.from([new PersistedQueryLink({ sha256 }), http]), cache: new InMemoryCache() })
  context.after(() => client.stop())
  await assert.rejects(client.query({ query: gql('query Unknown { viewer { role } }') }), /registered/)
})

test("Relay's persisted queries, by the ids of its artifacts", async () => {
  const source = "import { graphql } from 'relay-runtime'\nexport default graphql`" + DOCUMENT.replace('Registered', 'viewQuery') + '`\n'
  await written('relay/src/view.js', source)
  await written('relay/schema.graphql', await readFile(SCHEMA, 'utf8'))
  const config = await written('relay/relay.config.json', {
    src: './src',
    schema: './schema.graphql',
    language: 'javascript',
    persistConfig: { file: './persisted.json' },
  })
  await written('relay/persisted.json', '{}')
  await promisify(execFile)(relayCompiler, [config], { cwd: path.dirname(config) })
  const artifact = await readFile(path.join(folder, 'relay/src/__generated__/viewQuery.graphql.js'), 'utf8')
  const documentId = /"id": "(\w+)"/.exec(artifact)[1]
  await server.command('operations', 'register', path.join(folder, 'relay/persisted.json'))
  assert.deepEqual(seen(await post({ documentId, variables: { first: 1 } })), EXPECTED)
})

test("the persisted documents of GraphQL Code Generator's client preset, over HTTP and a socket", async (context) => {
  const options = {
    baseOutputDir: `${folder}/codegen/`,
    schema: parse(await readFile(SCHEMA, 'utf8')),
    schemaAst: buildSchema(await readFile(SCHEMA, 'utf8')),
    documents: [{ location: 'query.graphql', document: parse(DOCUMENT), rawSDL: DOCUMENT }],
    config: {},
    presetConfig: { persistedDocuments: true },
    plugins: [],
    pluginMap: {},
  }
  const sections = await preset.buildGeneratesSection(options)
  const wanted = sections.filter(({ filename }) => /graphql\.ts$|persisted-documents\.json$/.test(filename))
  const [, persisted] = await Promise.all(wanted.map((section) => codegen(section)))
  const [documentId] = Object.keys(JSON.parse(persisted))
  await server.command('operations', 'register', await written('codegen/persisted-documents.json', persisted))
  assert.deepEqual(seen(await post({ documentId, variables: { first: 1 } })), EXPECTED)
  assertRefused(await post({ query: '{ viewer { role } }' }))

  const socket = createClient({
    url: server.socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: { Authorization: server.authorization },
  })
  context.after(() => socket.dispose())
  const { value } = await socket.iterate({ query: '', documentId }).next() // this client wants a text
  assert.deepEqual(seen(value), EXPECTED)
  await assert.rejects(socket.iterate({ query: '{ viewer { role } }' }).next(), (errors) => {
    assertRefused({ errors })
    return true
  })
})
