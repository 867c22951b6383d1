// What changed in schema.graphql since a release; breaking changes end it with 1. Run by `make schema-diff`.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { CriticalityLevel, diff } from '@graphql-inspector/core'
import { buildSchema } from 'graphql'
import { ROOT } from './gradbook.js'

const { Breaking, Dangerous } = CriticalityLevel
const WORDS = { [Breaking]: 'breaks clients', [Dangerous]: 'may surprise clients' }

function git(...parameters) {
  return execFileSync('git', parameters, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
}

function fail(message) {
  console.error(message)
  process.exit(2)
}

function latestTag() {
  try {
    return git('describe', '--tags', '--abbrev=0').trim()
  } catch {
    return fail('There is no release yet: no tag is an ancestor of this commit. Compare with a commit: make schema-diff BASE=HEAD~1')
  }
}

function schemaAt(base) {
  try {
    return git('show', `${base}:schema.graphql`)
  } catch {
    return fail(`There is no schema.graphql at ${base}: name a tag or a commit that has one.`)
  }
}

const base = process.argv[2] || latestTag()
const changes = await diff(buildSchema(schemaAt(base)), buildSchema(readFileSync(path.join(ROOT, 'schema.graphql'), 'utf8')))
const of = (level) => changes.filter(({ criticality }) => criticality.level === level)
for (const level of [Breaking, Dangerous]) {
  for (const { message, path: where } of of(level)) console.log(`${where}: ${message} (${WORDS[level]})`)
}
const others = changes.length - of(Breaking).length - of(Dangerous).length
console.log(`Since ${base}: ${of(Breaking).length} breaking, ${of(Dangerous).length} dangerous, ${others} other changes.`)
process.exitCode = of(Breaking).length ? 1 : 0
