/** Both languages have the same texts with the same gaps, and the code asks for none that is missing. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import en from '../src/messages/en.json'
import zh from '../src/messages/zh.json'

function texts(part: object, before = ''): Map<string, string> {
  const found = new Map<string, string>()
  for (const [name, value] of Object.entries(part) as [string, unknown][]) {
    const key = before + name
    if (typeof value === 'object' && value !== null) {
      for (const [inner, text] of texts(value, `${key}.`)) found.set(inner, text)
    } else found.set(key, String(value))
  }
  return found
}

const gaps = (text: string) => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name))].sort()

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* sources(path)
    else if (/\.(vue|ts)$/.test(path) && !path.endsWith('.d.ts')) yield path
  }
}

describe('messages', () => {
  const chinese = texts(zh)
  const english = texts(en)

  it('have the same keys', () => {
    expect([...english.keys()].sort()).toEqual([...chinese.keys()].sort())
  })

  it('have the same gaps', () => {
    const different = [...chinese].filter(([key, text]) => String(gaps(text)) !== String(gaps(english.get(key) ?? '')))
    expect(different.map(([key]) => key)).toEqual([])
  })

  it('are all there that the code names', () => {
    const missing: string[] = []
    for (const path of sources(join(import.meta.dirname, '../src'))) {
      const source = readFileSync(path, 'utf8')
      const named = [...source.matchAll(/\bt\(\s*'([\w.]+)'|keypath="([\w.]+)"/g)].map(([, a, b]) => a ?? b!)
      missing.push(...named.filter((key) => !chinese.has(key)).map((key) => `${path}: ${key}`))
    }
    expect(missing).toEqual([])
  })
})
