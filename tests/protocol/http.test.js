// GraphQL over HTTP, by the audits of graphql-http, which are the specification's sentences one by one.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { serverAudits } from 'graphql-http'
import { startServer } from './gradbook.js'

const AUDITS = 61

// These ask for a type of the schema, which is for those who signed in; all others ask for `__typename`.
const INTROSPECTING = ['2EA1', '28B9', 'D6D5', '6A70']

let server
before(async () => (server = await startServer()))
after(() => server?.stop())

/** What an audit of this caller says: `ok`, or its level, the reason and the answer. */
async function audit(headers) {
  const fetchFn = (url, options = {}) => fetch(url, { ...options, headers: { ...options.headers, ...headers } })
  const found = new Map()
  for (const { id, name, fn } of serverAudits({ url: server.url, fetchFn })) {
    const result = await fn()
    if (result.status === 'ok') found.set(id, 'ok')
    else found.set(id, `${name}: ${result.reason}; ${result.response.status} ${await text(result.response)}`)
  }
  return found
}

const text = (response) => (response.bodyUsed ? '' : response.text())

function failed(found) {
  return [...found].filter(([, said]) => said !== 'ok')
}

test('every audit passes for a caller with a key', async () => {
  const found = await audit({ authorization: server.authorization })
  assert.equal(found.size, AUDITS)
  assert.deepEqual(failed(found), [])
})

test('every audit that does not read the schema passes for an anonymous caller', async () => {
  const found = await audit({})
  assert.equal(found.size, AUDITS)
  assert.deepEqual(
    failed(found).map(([id]) => id),
    INTROSPECTING,
  )
})
