// A real Gradbook server over a new SQLite database, and what a test needs to talk to it.
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const PYTHON = process.env.GRADBOOK_TEST_PYTHON ?? path.join(ROOT, '.venv/bin/python')
const START_MS = 300_000

/** Start a server on a free port; `settings` are its GRADBOOK_ variables in lower case. End it with `stop`. */
export async function startServer(settings = {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'gradbook-'))
  const env = { ...process.env, GRADBOOK_DATABASE_URL: `sqlite:///${folder}/book.db`, GRADBOOK_PORT: '0' }
  for (const [name, value] of Object.entries(settings)) env[`GRADBOOK_${name.toUpperCase()}`] = String(value)
  const child = spawn(PYTHON, ['-m', 'app.cli', 'serve'], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const server = new Server(child, folder)
  await server.ready
  return server
}

class Server {
  log = ''

  constructor(child, folder) {
    this.folder = folder
    this.child = child
    this.databaseUrl = `sqlite:///${folder}/book.db`
    this.ended = new Promise((resolve) => child.once('exit', resolve))
    this.ready = new Promise((resolve, reject) => {
      const said = () => reject(new Error(`Gradbook did not start:\n${this.log}`))
      const timer = setTimeout(said, START_MS)
      const hear = (text) => {
        this.log += text
        const found = /Gradbook is at (http:\S+?\/graphql)\b/.exec(this.log)
        if (!found) return
        clearTimeout(timer)
        this.url = found[1]
        this.key = /\bgb_[\w-]{43}/.exec(this.log)[0]
        resolve()
      }
      child.stdout.setEncoding('utf8').on('data', hear)
      child.stderr.setEncoding('utf8').on('data', hear)
      child.once('error', reject)
      child.once('exit', said)
    })
  }

  get socketUrl() {
    return this.url.replace('http', 'ws')
  }

  get authorization() {
    return `Bearer ${this.key}`
  }

  /** The data of a query or mutation by the owner; an error is thrown. */
  async run(query, variables) {
    const answer = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: this.authorization },
      body: JSON.stringify({ query, variables }),
    })
    const { data, errors } = await answer.json()
    const failures = errors ?? Object.values(data).flatMap((payload) => payload?.errors ?? [])
    if (failures.length) throw new Error(JSON.stringify(failures))
    return data
  }

  /** What a command of `gradbook` says, on the server's database. */
  async command(...parameters) {
    const env = { ...process.env, GRADBOOK_DATABASE_URL: this.databaseUrl }
    const { stdout } = await promisify(execFile)(PYTHON, ['-m', 'app.cli', ...parameters], { cwd: ROOT, env })
    return stdout
  }

  async stop() {
    this.child.kill('SIGTERM')
    await this.ended
    await rm(this.folder, { recursive: true })
  }
}

const ERRORS = 'errors { code message path }'

/** A dataset with one question, and `count` records; the id of the one and the ids of the others. */
export async function makeDataset(server, name, count) {
  const workspace = await server.run(
    `mutation ($input: CreateWorkspaceInput!) { createWorkspace(input: $input) { workspace { id } ${ERRORS} } }`,
    { input: { name } },
  )
  const made = await server.run(
    `mutation ($input: CreateDatasetInput!) { createDataset(input: $input) { dataset { id } ${ERRORS} } }`,
    {
      input: {
        workspaceId: workspace.createWorkspace.workspace.id,
        name,
        fields: [{ name: 'text', title: 'Text', required: true }],
        questions: [{ name: 'good', title: 'Good?', required: true, settings: { rating: { min: 1, max: 5 } } }],
      },
    },
  )
  const datasetId = made.createDataset.dataset.id
  const records = Array.from({ length: count }, (_, number) => ({ fields: { text: `text ${number}` } }))
  const added = await server.run(
    `mutation ($input: AddRecordsInput!) { addRecords(input: $input) { results { record { id } } ${ERRORS} } }`,
    { input: { datasetId, records } },
  )
  return { datasetId, recordIds: added.addRecords.results.map((result) => result.record.id) }
}

export const SUBMIT = `mutation Submit($input: SubmitResponseInput!) {
  submitResponse(input: $input) { record { id status } ${ERRORS} }
}`

/** The variables of SUBMIT. */
export function submission(recordId, rating = 1) {
  return { input: { recordId, values: { good: rating } } }
}

export const CHANGES = `subscription Changes($dataset: ID!, $after: String) {
  recordChanged(datasetId: $dataset, after: $after) { cursor records { id status submittedCount } }
}`
