/** How the reader likes to see curves. It holds for every task. */

import { ref, watch } from 'vue'
import type { XType } from './series'
import { keep, kept } from '@/storage'

export const X_TYPES: readonly XType[] = ['step', 'duration', 'time']

const before = kept('curves')?.split(' ') ?? []
const xType = ref<XType>(X_TYPES.find((each) => each === before[0]) ?? 'step')
const smoothing = ref(within(Number(before[1] ?? 0.6)))
const logY = ref(before[2] === 'log')

watch([xType, smoothing, logY], () => keep('curves', `${xType.value} ${smoothing.value} ${logY.value ? 'log' : 'linear'}`))

export function useCurveLook() {
  return { xType, smoothing, logY }
}

function within(value: number): number {
  return Number.isFinite(value) ? Math.min(0.99, Math.max(0, value)) : 0.6
}
