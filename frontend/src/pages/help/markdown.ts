/**
 * A guide in Markdown -> HTML and its headings. The guides are our own files and part of the build; HTML in them is
 * switched off all the same, so a `<` in one stays a `<`.
 */

import MarkdownIt from 'markdown-it'

export interface Heading {
  /** 2 or 3. */
  level: number
  text: string
  /** For the address: `/help#…`, the same as GitHub's. */
  anchor: string
}

export interface Guide {
  title: string
  html: string
  headings: Heading[]
}

export function guideOf(source: string): Guide {
  const markdown = new MarkdownIt({ html: false, linkify: false })
  const tokens = markdown.parse(source, {})
  const headings: Heading[] = []
  let title = ''
  const body = tokens.filter((token, index) => {
    // The page's own heading is the title.
    const inTitle = [token, tokens[index - 1], tokens[index - 2]].some((each) => each?.type === 'heading_open' && each.tag === 'h1')
    if (inTitle && token.type === 'inline') title = token.content
    return !inTitle
  })
  const taken = new Map<string, number>()
  body.forEach((token, index) => {
    if (token.type !== 'heading_open') return
    const text = body[index + 1]?.content ?? ''
    const plain = anchorOf(text)
    const before = taken.get(plain) ?? 0
    taken.set(plain, before + 1)
    const anchor = before ? `${plain}-${before}` : plain
    token.attrSet('id', anchor)
    token.attrSet('tabindex', '-1')
    headings.push({ level: Number(token.tag.slice(1)), text, anchor })
  })
  // What is wide scrolls by itself, not the page, and what scrolls can be reached by keyboard.
  markdown.renderer.rules.table_open = () => '<div class="wide" tabindex="0"><table>'
  markdown.renderer.rules.table_close = () => '</table></div>'
  const html = markdown.renderer.render(body, markdown.options, {}).replaceAll('<pre>', '<pre tabindex="0">')
  return { title, html, headings }
}

/** As GitHub makes it: letters of any script, digits, `-` and `_`. */
export function anchorOf(text: string): string {
  return text
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-')
}
