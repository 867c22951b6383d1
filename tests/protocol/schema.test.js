// schema.graphql, by the tools that people use on it: a linter, Relay's compiler, a generator of typed clients.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { codegen } from '@graphql-codegen/core'
import * as typedDocumentNode from '@graphql-codegen/typed-document-node'
import * as typescript from '@graphql-codegen/typescript'
import * as typescriptOperations from '@graphql-codegen/typescript-operations'
import graphqlPlugin from '@graphql-eslint/eslint-plugin'
import { ESLint } from 'eslint'
import { buildSchema, isObjectType, parse, validate } from 'graphql'
import relayCompiler from 'relay-compiler'
import ts from 'typescript'
import { ROOT } from './gradbook.js'

const HERE = fileURLToPath(new URL('schema', import.meta.url))
const PATH = path.join(ROOT, 'schema.graphql')
const TEXT = await readFile(PATH, 'utf8')
const SCHEMA = buildSchema(TEXT)

/** A folder for what is generated; packages are found from it. */
async function workFolder(context) {
  const folder = await mkdtemp(path.join(tmpdir(), 'gradbook-schema-'))
  context.after(() => rm(folder, { recursive: true }))
  await symlink(fileURLToPath(new URL('node_modules', import.meta.url)), path.join(folder, 'node_modules'))
  return folder
}

test("graphql-eslint's recommended rules and those of Relay hold", async () => {
  const objects = Object.values(SCHEMA.getTypeMap()).filter((type) => isObjectType(type))
  const withoutId = objects.filter((type) => !type.getInterfaces().some(({ name }) => name === 'Node'))
  const { configs } = graphqlPlugin
  const rules = {
    ...configs['flat/schema-recommended'].rules,
    ...configs['flat/schema-relay'].rules,
    '@graphql-eslint/strict-id-in-types': ['error', { exceptions: { types: withoutId.map(({ name }) => name) } }],
    '@graphql-eslint/relay-edge-types': ['error', { listTypeCanWrapOnlyEdgeType: false }],
    // The recommended rule asks for types and root fields alone.
    '@graphql-eslint/require-description': [
      'error',
      {
        types: true,
        rootField: true,
        DirectiveDefinition: true,
        EnumValueDefinition: true,
        FieldDefinition: true,
        InputValueDefinition: true,
      },
    ],
  }
  const eslint = new ESLint({
    cwd: ROOT,
    overrideConfigFile: true,
    overrideConfig: {
      files: ['**/*.graphql'],
      languageOptions: { parser: graphqlPlugin.parser, parserOptions: { graphQLConfig: { schema: PATH } } },
      plugins: { '@graphql-eslint': graphqlPlugin },
      rules,
    },
  })
  const [result] = await eslint.lintFiles([PATH])
  assert.deepEqual(
    result.messages.map(({ line, ruleId, message }) => `${line}: ${ruleId}: ${message}`),
    [],
  )
})

test('relay-compiler compiles a fragment that is paginated and refetchable', async (context) => {
  const folder = await workFolder(context)
  await mkdir(path.join(folder, 'src'))
  await cp(path.join(HERE, 'Records.js'), path.join(folder, 'src/Records.js'))
  await cp(PATH, path.join(folder, 'schema.graphql'))
  const config = { src: './src', schema: './schema.graphql', language: 'javascript', noFutureProofEnums: true }
  await writeFile(path.join(folder, 'relay.config.json'), JSON.stringify(config))
  await promisify(execFile)(relayCompiler, ['relay.config.json'], { cwd: folder })
  const artifact = (name) => readFile(path.join(folder, `src/__generated__/${name}.graphql.js`), 'utf8')
  const fragment = await artifact('Records_dataset')
  assert.match(fragment, /"identifierField": "id"/)
  assert.match(fragment, /"fragmentPathInResult": \[\s*"node"\s*\]/)
  const text = JSON.parse(/"text": (".*"),?\n/.exec(await artifact('RecordsPaginationQuery'))[1])
  assert.match(text, /node\(id: \$id\)/)
  assert.deepEqual(validate(SCHEMA, parse(text)), [])
})

test('graphql-codegen makes a client whose types check', async (context) => {
  const folder = await workFolder(context)
  const document = parse(await readFile(path.join(HERE, 'client.graphql'), 'utf8'))
  const config = { useTypeImports: true, strictScalars: true, scalars: scalars() }
  const generate = async (name, documents, pluginMap) => {
    const plugins = Object.keys(pluginMap).map((plugin) => ({ [plugin]: {} }))
    const options = { filename: name, schema: parse(TEXT), documents, config, plugins, pluginMap }
    await writeFile(path.join(folder, name), await codegen(options))
  }
  await generate('schema.ts', [], { typescript })
  await generate('generated.ts', [{ document }], { typescriptOperations, typedDocumentNode })
  await cp(path.join(HERE, 'client.ts'), path.join(folder, 'client.ts'))
  const files = ['schema.ts', 'client.ts'].map((name) => path.join(folder, name))
  const { ES2022 } = ts.ScriptTarget
  const program = ts.createProgram(files, {
    strict: true,
    noEmit: true,
    target: ES2022,
    module: ts.ModuleKind.NodeNext,
    types: [],
  })
  const said = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const { line } = file ? ts.getLineAndCharacterOfPosition(file, start) : { line: 0 }
    return `${file ? path.basename(file.fileName) : ''}:${line + 1}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
  })
  assert.deepEqual(said, [])
})

/** What stands for our scalars in TypeScript; what is not named here is for the client to look at. */
function scalars() {
  const own = [...TEXT.matchAll(/^scalar (\w+)/gm)].map(([, name]) => [name, 'unknown'])
  return { ...Object.fromEntries(own), DateTime: 'string', SafeInt: 'number', ID: { input: 'string', output: 'string' } }
}
