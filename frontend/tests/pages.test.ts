/** What two pages share is a part of neither. */

import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { expect, it } from 'vitest'

const SOURCES = join(import.meta.dirname, '../src')
const PAGES = join(SOURCES, 'pages')

it('imports nothing of another page', () => {
  const found: string[] = []
  for (const page of readdirSync(PAGES, { withFileTypes: true }).filter((each) => each.isDirectory())) {
    const home = join(PAGES, page.name)
    for (const file of readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((each) => /\.(vue|ts)$/.test(each))) {
      const path = join(home, file)
      for (const [, named] of readFileSync(path, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([.@][^']*)'/g)) {
        const target = named!.startsWith('@/') ? join(SOURCES, named!.slice(2)) : resolve(path, '..', named!)
        if (!relative(PAGES, target).startsWith('..') && relative(home, target).startsWith('..')) found.push(`${path}: ${named}`)
      }
    }
  }
  expect(found).toEqual([])
})
