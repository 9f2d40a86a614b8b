/** Checks the data of the form: when its path changes, and again when what counts has changed. */

import { computed, ref, shallowRef, watch } from 'vue'
import { ApiError, get, post } from '@/api/client'
import type { Body } from '@/api/types'
import { language } from '@/i18n'
import { useForm } from './context'
import { isGiven, type Given } from './form'
import type { DatasetReport } from './shapes'

/** Seconds of reading at first, and at most. */
const SECONDS = 20
const LONG = 120
/** A check that took no longer than this (milliseconds) is simply done again. */
const CHEAP = 2500
/** The arguments that change what a check says. */
const COUNT = ['max_seq_length', 'system_prompt', 'split', 'seed', 'on_bad_rows']

export function useDatasetCheck() {
  const { form } = useForm()
  const report = shallowRef<DatasetReport | null>(null)
  const error = shallowRef<unknown>(null)
  const busy = ref(false)
  const stale = ref(false)
  let took = 0
  /** Seconds of the check that is to come. */
  let wanted: number | null = null
  let timer: number | undefined

  const path = computed(() => form.datasetPath.trim())
  const counts = computed(() =>
    JSON.stringify([form.baseModel.trim(), ...COUNT.map((name) => form.trainingArgs[name] ?? null), language.value]),
  )

  /** One at a time: a check goes on in the server even if nobody waits for it. */
  async function check(seconds = SECONDS): Promise<void> {
    window.clearTimeout(timer)
    wanted = seconds
    if (busy.value) return
    busy.value = true
    while (wanted !== null) {
      const now: number = wanted
      const of = path.value
      wanted = null
      const began = performance.now()
      let found: DatasetReport | null = null
      let wrong: unknown = null
      try {
        found = await ask(now)
      } catch (thrown) {
        wrong = thrown
      }
      took = performance.now() - began
      if (wanted !== null || of !== path.value) continue
      report.value = found
      error.value = wrong
      stale.value = false
    }
    busy.value = false
  }

  async function ask(seconds: number): Promise<DatasetReport> {
    const trainingArgs: Given = {}
    for (const name of COUNT) if (isGiven(form.trainingArgs[name])) trainingArgs[name] = form.trainingArgs[name]
    const baseModel = (await readable(form.baseModel.trim())) ?? undefined
    const body = { datasetPath: path.value, baseModel, seconds }
    try {
      return await post('checkDataset', { body: { ...body, trainingArgs } as Body<'checkDataset'> })
    } catch (thrown) {
      // An argument that is wrong says so at its own field; the data can be looked at without it.
      const ofArguments = thrown instanceof ApiError && thrown.errors.some((each) => each.field.startsWith('trainingArgs'))
      if (!ofArguments) throw thrown
      return post('checkDataset', { body: body as Body<'checkDataset'> })
    }
  }

  watch(
    path,
    () => {
      report.value = null
      error.value = null
      if (path.value) void check()
      else wanted = null
    },
    { immediate: true },
  )
  watch(counts, () => {
    if (!path.value) return
    if (took > CHEAP) stale.value = report.value !== null
    else {
      window.clearTimeout(timer)
      timer = window.setTimeout(() => void check(), 600)
    }
  })
  return { report, error, busy, stale, check: () => check(), checkAll: () => check(LONG) }
}

/** A base model whose tokens can be counted: one that is on the disk, and whole. */
async function readable(baseModel: string): Promise<string | null> {
  if (!baseModel) return null
  try {
    const model = await get('inspectModel', { path: baseModel })
    return model.path && !model.problems.length ? model.path : null
  } catch {
    return null
  }
}
