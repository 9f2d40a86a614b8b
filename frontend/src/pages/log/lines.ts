/** Lines of a log by their numbers: those that were looked at last, within a bound on memory. */

export const CHUNK = 200 // lines that are asked for together

interface Chunk {
  lines: (string | undefined)[]
  chars: number
}

export class Lines {
  // A Map keeps the order of insertion: the chunk that was used longest ago is the first.
  private chunks = new Map<number, Chunk>()
  private chars = 0

  constructor(private readonly charsAtMost: number) {}

  get(line: number): string | undefined {
    return this.chunks.get(Math.floor(line / CHUNK))?.lines[line % CHUNK]
  }

  put(first: number, lines: readonly string[]): void {
    lines.forEach((text, index) => this.set(first + index, text))
    this.prune()
  }

  /** Forget a line that has changed. */
  drop(line: number): void {
    if (this.get(line) !== undefined) this.set(line, undefined)
  }

  clear(): void {
    this.chunks.clear()
    this.chars = 0
  }

  /** Keep the chunks of these lines longest. */
  use(first: number, end: number): void {
    for (let number = Math.floor(first / CHUNK); number * CHUNK < end; number += 1) {
      const chunk = this.chunks.get(number)
      if (!chunk) continue
      this.chunks.delete(number)
      this.chunks.set(number, chunk)
    }
  }

  /** Of the lines `first` (included) to `end` (not): the first run of chunks that are not all here. */
  missing(first: number, end: number, atMost: number): { first: number; count: number } | null {
    let line = first
    while (line < end && this.get(line) !== undefined) line += 1
    if (line >= end) return null
    const start = Math.floor(line / CHUNK) * CHUNK
    let stop = start + CHUNK
    while (stop < end && stop - start + CHUNK <= atMost && !this.chunks.has(stop / CHUNK)) stop += CHUNK
    return { first: start, count: stop - start }
  }

  private set(line: number, text: string | undefined): void {
    const number = Math.floor(line / CHUNK)
    let chunk = this.chunks.get(number)
    if (!chunk) this.chunks.set(number, (chunk = { lines: new Array<string | undefined>(CHUNK), chars: 0 }))
    const change = (text?.length ?? 0) - (chunk.lines[line % CHUNK]?.length ?? 0)
    chunk.lines[line % CHUNK] = text
    chunk.chars += change
    this.chars += change
  }

  private prune(): void {
    for (const [number, chunk] of this.chunks) {
      // What is shown is among the newest two.
      if (this.chars <= this.charsAtMost || this.chunks.size <= 2) return
      this.chunks.delete(number)
      this.chars -= chunk.chars
    }
  }
}
