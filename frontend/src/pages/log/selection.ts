/**
 * Selecting and copying over more lines than are drawn: the rows where a selection begins and ends stay in the
 * document while they are out of view, and what is copied is made of the log's lines, not of what is drawn.
 */

import { computed, onBeforeUnmount, onMounted, shallowRef, type Ref } from 'vue'
import { plainText } from './ansi'

/** Who wants more downloads the log. */
export const COPIED_AT_MOST = 20_000

interface Ends {
  first: number
  last: number
}

interface Given {
  /** What holds the rows; each has a `data-line`, and its text in a `.text`. */
  block: Ref<HTMLElement | null>
  line: (number: number) => string | undefined
  /** Lines that are not here are asked for. */
  read: (first: number, end: number) => Promise<string[]>
  /** Something has been selected. */
  selected: () => void
  /** Put a text on the clipboard that had to be waited for. */
  write: (text: Promise<string>) => void
  tooMany: (lines: number) => void
}

/** The lines at the ends of the selection, which are to be drawn. */
export function useLogSelection(given: Given) {
  const ends = shallowRef<Ends | null>(null)

  function changed(): void {
    const range = rangeWithin(given.block.value)
    if (!range) {
      ends.value = null
      return
    }
    const before = ends.value
    const first = lineOf(range.startContainer, range.startOffset)
    const last = lineOf(range.endContainer, range.endOffset)
    if (first === null || last === null) ends.value = null
    else if (!before || before.first !== first || before.last !== last) ends.value = { first, last }
    if (!before) given.selected()
  }

  function copied(event: ClipboardEvent): void {
    changed() // the event that tells of the newest selection may still be on its way
    const range = rangeWithin(given.block.value)
    if (!range || !ends.value || ends.value.first === ends.value.last) return
    const { first, last } = ends.value
    event.preventDefault()
    if (last - first >= COPIED_AT_MOST) return given.tooMany(COPIED_AT_MOST)
    const head = textFrom(range)
    const tail = textTo(range)
    const between: string[] = []
    for (let line = first + 1; line < last; line += 1) {
      const text = given.line(line)
      if (text === undefined) {
        const rest = given.read(first + 1, last)
        return given.write(rest.then((lines) => [head, ...lines.map(plainText), tail].join('\n')))
      }
      between.push(plainText(text))
    }
    event.clipboardData?.setData('text/plain', [head, ...between, tail].join('\n'))
  }

  onMounted(() => {
    document.addEventListener('selectionchange', changed)
    document.addEventListener('copy', copied)
  })
  onBeforeUnmount(() => {
    document.removeEventListener('selectionchange', changed)
    document.removeEventListener('copy', copied)
  })
  return { ends: computed(() => ends.value) }
}

function rangeWithin(block: HTMLElement | null): Range | null {
  const selection = document.getSelection()
  if (!block || !selection || selection.isCollapsed || !selection.rangeCount) return null
  const range = selection.getRangeAt(0)
  return block.contains(range.startContainer) && block.contains(range.endContainer) ? range : null
}

/** The row of an end of a range, which may be between two rows. */
function rowOf(node: Node, offset: number): HTMLElement | null {
  const element = node instanceof Element ? node : node.parentElement
  const child = element?.children[Math.min(offset, element.children.length - 1)]
  return element?.closest<HTMLElement>('[data-line]') ?? child?.closest<HTMLElement>('[data-line]') ?? null
}

function lineOf(node: Node, offset: number): number | null {
  const row = rowOf(node, offset)
  return row ? Number(row.dataset.line) : null
}

/** What is selected of the first row. */
function textFrom(range: Range): string {
  const text = rowOf(range.startContainer, range.startOffset)?.querySelector('.text')
  if (!text) return ''
  const part = document.createRange()
  part.selectNodeContents(text)
  if (text.contains(range.startContainer)) part.setStart(range.startContainer, range.startOffset)
  return part.toString()
}

/** What is selected of the last row: nothing, where it ends before its text. */
function textTo(range: Range): string {
  const text = rowOf(range.endContainer, range.endOffset)?.querySelector('.text')
  if (!text?.contains(range.endContainer)) return ''
  const part = document.createRange()
  part.selectNodeContents(text)
  part.setEnd(range.endContainer, range.endOffset)
  return part.toString()
}
