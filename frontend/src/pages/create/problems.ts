/** What is wrong or unusual, field by field: the server's sentences, and the recommended ranges at once. */

import { computed, reactive, type ComputedRef, type Ref, type ShallowRef } from 'vue'
import { useI18n } from 'vue-i18n'
import { ApiError, type FieldError } from '@/api/client'
import type { Argument, CheckedTask } from '@/api/types'
import { isUnusual, isUsed, rangeText, recommendedOf } from './arguments'
import { isGiven, type TaskForm } from './form'

const TASK_FIELDS = ['name', 'description', 'baseModel', 'datasetPath', 'outputPath'] as const
const GPU_FIELDS = ['cuda_visible_devices', 'memory_optimization', 'max_memory_gib'] as const

export interface Problems {
  errorsOf: (field: string) => string[]
  warningsOf: (field: string) => string[]
  labelOf: (field: string) => string
  isMissing: (field: string) => boolean
  /** The reader has been there: what is missing may be said. */
  touch: (field: string) => void
  /** All that is refused and shown. */
  all: ComputedRef<FieldError[]>
}

/** `refused`: of the last try to create; `checked` and `error`: of the last look at what is typed. */
export function useProblems(
  form: TaskForm,
  method: Ref<string>,
  schema: readonly Argument[],
  argumentLabel: (argument: Argument) => string,
  attempted: Ref<boolean>,
  refused: Ref<FieldError[]>,
  checked: ShallowRef<CheckedTask | null>,
  error: ShallowRef<unknown>,
): Problems {
  const { t } = useI18n()
  const touched = reactive(new Set<string>())
  const byName = new Map(schema.map((argument) => [argument.name, argument]))
  const fields: string[] = [
    ...TASK_FIELDS,
    ...schema.map((argument) => `trainingArgs.${argument.name}`),
    ...GPU_FIELDS.map((name) => `gpuConfig.${name}`),
  ]

  /** The field of the form that an error belongs to; "" for one that belongs to none. */
  const fieldOf = (name: string) => fields.find((each) => name === each || name.startsWith(`${each}.`)) ?? ''

  function valueAt(field: string): unknown {
    if (field.startsWith('trainingArgs.')) return form.trainingArgs[field.slice('trainingArgs.'.length)]
    if (field === 'gpuConfig.cuda_visible_devices') return form.cudaVisibleDevices
    if (field === 'gpuConfig.max_memory_gib') return form.maxMemoryGib
    return field in form ? form[field as keyof TaskForm] : undefined
  }

  const all = computed<FieldError[]>(() => {
    const live = error.value instanceof ApiError ? error.value.errors : []
    const found = new Map<string, FieldError>()
    for (const each of [...refused.value, ...live]) {
      const field = fieldOf(each.field)
      if (field && !attempted.value && !touched.has(field) && !isGiven(valueAt(field))) continue
      found.set(`${field} ${each.message}`, { field: field || each.field, message: each.message })
    }
    const place = (one: FieldError) => fields.indexOf(one.field)
    return [...found.values()].sort((one, other) => place(one) - place(other))
  })

  function warningsOf(field: string): string[] {
    if (all.value.some((each) => each.field === field)) return []
    const told = checked.value?.warnings.filter((each) => fieldOf(each.field) === field)
    if (told?.length) return told.map((each) => each.message)
    const argument = byName.get(field.replace(/^trainingArgs\./, ''))
    if (!argument || !isUsed(argument, method.value)) return []
    // While something else is refused the server does not come to its advice.
    if (!isUnusual(argument, form.trainingArgs[argument.name], method.value)) return []
    return [t('create.outside', { range: rangeText(recommendedOf(argument, method.value)!) })]
  }

  function labelOf(field: string): string {
    const argument = byName.get(field.replace(/^trainingArgs\./, ''))
    if (argument && field.startsWith('trainingArgs.')) return argumentLabel(argument)
    const known = fields.includes(field)
    return known ? t(`create.field.${field.replace('gpuConfig.', '')}`) : field
  }

  return {
    all,
    errorsOf: (field) => all.value.filter((each) => each.field === field).map((each) => each.message),
    warningsOf,
    labelOf,
    isMissing: (field) => fields.includes(field) && !isGiven(valueAt(field)),
    touch: (field) => touched.add(field),
  }
}
