/** What the events of a task say: its story, its checkpoints, what was planned and what it took. Pure. */

import type { TaskEvent } from '@/api/types'

/** Events worth a line: evaluations come and go, and an error is told again by the status that follows. */
export function story(events: readonly TaskEvent[]): TaskEvent[] {
  const trained = new Set<number>()
  const toldByStatus = new Set(
    events.filter((each) => each.type === 'status' && each.data.error).map((each) => `${each.attempt} ${each.message}`),
  )
  return events.filter((each) => {
    if (each.type === 'error') return !toldByStatus.has(`${each.attempt} ${each.message}`)
    if (each.type !== 'phase') return true
    if (each.data.phase === 'evaluating') return false
    if (each.data.phase !== 'training') return true
    const first = !trained.has(each.attempt)
    trained.add(each.attempt)
    return first
  })
}

export interface Checkpoint {
  step: number
  path: string
  at: number
}

/**
 * The checkpoints that are still there, the newest first, and how many are not: the trainer keeps
 * `limit`, and beside them the best one where it stops early.
 */
export function checkpoints(events: readonly TaskEvent[], limit: number, bestStep: number | null): { kept: Checkpoint[]; removed: number } {
  const byPath = new Map<string, Checkpoint>()
  for (const { type, at, data } of events) {
    if (type !== 'checkpoint') continue
    const path = String(data.path)
    byPath.delete(path) // written again: it is the newest now
    byPath.set(path, { step: Number(data.step), path, at })
  }
  const all = [...byPath.values()].reverse()
  const kept = all.filter(({ step }, place) => place < limit || step === bestStep)
  return { kept, removed: all.length - kept.length }
}

/** What the trainer said it would do, and on what. */
export interface Plan {
  samples: number
  evalSamples: number
  trainableParameters: number
  totalParameters: number
  device: string
  devices: number
  dtype: string
  sharded: boolean
}

/** Bytes on each device: planned (corrected by past runs), free before the start, and taken at most. */
export interface Memory {
  planned: number | null
  available: number | null
  peak: number | null
  onGpu: boolean
}

export function planOf(events: readonly TaskEvent[], attempt: number): Plan | null {
  return (lastOf(events, attempt, 'plan')?.data as unknown as Plan | undefined) ?? null
}

export function memoryOf(events: readonly TaskEvent[], attempt: number): Memory {
  const plan = lastOf(events, attempt, 'memory_plan')?.data
  const end = lastOf(events, attempt, 'finished')?.data
  const planned = number(plan?.plannedBytes)
  return {
    planned: planned === null ? null : planned * (number(plan?.ratio) ?? 1),
    available: number(plan?.availableBytes),
    // On a CPU the process itself takes a part that no plan speaks of.
    peak: number(end?.measuredMemoryBytes) ?? number(end?.peakMemoryBytes),
    onGpu: plan?.deviceType === 'cuda',
  }
}

/** When an attempt began, in Unix seconds. */
export function beginOf(events: readonly TaskEvent[], attempt: number): number | null {
  return events.find((each) => each.attempt === attempt)?.at ?? null
}

function lastOf(events: readonly TaskEvent[], attempt: number, type: string): TaskEvent | undefined {
  return events.findLast((each) => each.attempt === attempt && each.type === type)
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}
