/** The guides as the help page shows them: whole, and the same in both languages. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { anchorOf, guideOf } from '../src/pages/help/markdown'

const read = (name: string) => guideOf(readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8'))

describe('the guides', () => {
  const zh = read('guide.zh-CN.md')
  const en = read('guide.md')

  it('have the same sections, tables and code', () => {
    expect(zh.headings.map(({ level }) => level)).toEqual(en.headings.map(({ level }) => level))
    for (const tag of [/<table>/g, /<pre /g, /<li>/g]) {
      expect(zh.html.match(tag)?.length).toBe(en.html.match(tag)?.length)
    }
  })

  it('have a title of their own, which is not in the text', () => {
    expect([zh.title, en.title]).toEqual(['使用指南', 'Guide'])
    expect(zh.html + en.html).not.toContain('<h1')
  })

  it('leave no Markdown unread', () => {
    // `**注意。**文字` is not bold: between a full stop and a letter, a ** cannot end.
    const text = (zh.html + en.html).replace(/<pre[\s\S]*?<\/pre>/g, '')
    expect(text).not.toMatch(/\*\*|^#|\]\(/m)
  })

  it('lead to each section by one address', () => {
    for (const { headings, html } of [zh, en]) {
      const anchors = headings.map(({ anchor }) => anchor)
      expect(new Set(anchors).size).toBe(anchors.length)
      for (const anchor of anchors) expect(html).toContain(`id="${anchor}"`)
    }
  })
})

describe('guideOf', () => {
  it('shows HTML as text', () => {
    const { html } = guideOf('# a\n\n<script>x</script> <img src=x onerror=y>\n\n[link](javascript:alert(1))')
    expect(html).not.toMatch(/<script|<img|href/)
  })

  it('tells sections of the same name apart', () => {
    expect(guideOf('## a\n\n## a').headings.map(({ anchor }) => anchor)).toEqual(['a', 'a-1'])
  })
})

describe('anchorOf', () => {
  it('is as GitHub makes it', () => {
    expect(anchorOf('Stop, go on, delete')).toBe('stop-go-on-delete')
    expect(anchorOf('停止、继续与删除')).toBe('停止继续与删除')
    expect(anchorOf('Has it converged?')).toBe('has-it-converged')
  })
})
