/** Names for the answers that only this page reads. */

import type { Data } from '@/api/types'

export type DatasetReport = Data<'checkDataset'>
export type Finding = DatasetReport['findings'][number]
export type Sample = DatasetReport['samples'][number]
export type Lengths = NonNullable<DatasetReport['lengths']>
export type MemoryPlan = Data<'planMemory'>
export type MemoryChange = MemoryPlan['changes'][number]
export type Preview = Data<'previewSample'>
