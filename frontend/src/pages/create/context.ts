/** What the parts of the form share. `provideForm` once in CreateForm, `useForm()` in its parts. */

import { computed, inject, onScopeDispose, provide, reactive, ref, shallowRef, watch, type InjectionKey } from 'vue'
import { useRouter } from 'vue-router'
import { useI18n } from 'vue-i18n'
import { ApiError, type FieldError, get, post } from '@/api/client'
import type { Argument, Body, Preset } from '@/api/types'
import { language } from '@/i18n'
import { tell } from '@/parts/notice'
import { presetOf, textOf, withPreset } from './arguments'
import type { Beginning } from './begin'
import { change, type Marks } from './change'
import { dropDraft, keepDraft, readDraft } from './draft'
import { bodyOf, emptyForm, givenOnly, isGiven, same, type TaskForm } from './form'
import { useLatest } from './latest'
import { useLookup } from './lookup'
import { useProblems } from './problems'
import { goTo } from './scroll'

export type FormContext = ReturnType<typeof provideForm>
const KEY: InjectionKey<FormContext> = Symbol('form')

export function useForm(): FormContext {
  const found = inject(KEY)
  if (!found) throw new Error('useForm outside the form')
  return found
}

export function provideForm(beginning: Beginning, described: () => readonly Argument[], presets: () => readonly Preset[]) {
  const router = useRouter()
  // Its names stay, its units follow the language.
  const schema = computed(described)
  const { t } = useI18n()
  const kept = readDraft(beginning.key)
  const form = reactive<TaskForm>(structuredClone(kept?.form ?? beginning.form))
  const marks = reactive<Marks>({ ...(kept?.marks ?? beginning.marks) })
  const restored = ref(kept !== null)
  const advanced = ref(Object.keys(marks).some((field) => !isBasic(field)))

  const body = computed(() => bodyOf(form))
  const defaults = Object.fromEntries(schema.value.map((argument) => [argument.name, argument.default]))
  const method = computed(() => String(form.trainingArgs.method ?? defaults.method ?? ''))
  const preset = computed(() => presetOf(form.trainingArgs, presets(), schema.value))

  const models = useLookup(() => get('getModelList'))
  const devices = useLookup(() => get('getDeviceList'))
  const machine = useLookup(() => get('getMachine'))

  const refused = ref<FieldError[]>([])
  /** Whether the reader has tried to create it: then all that is missing may be said. */
  const attempted = ref(false)
  const failure = shallowRef<unknown>(null)
  const creating = ref(false)

  // Without a name the server would look at nothing else; it may be the last thing that is filled in.
  const check = useLatest(
    () => (same(form, emptyForm()) ? null : { ...body.value, name: body.value.name || '-' }),
    (asked) => post('checkTask', { body: asked }),
  )
  const plan = useLatest(planned, (asked) => post('planMemory', { body: asked }), 250)
  const labelOf = (argument: Argument) => (language.value === 'zh' ? argument.labelZh : argument.labelEn) || argument.name
  const problems = useProblems(form, method, schema.value, labelOf, attempted, refused, check.answer, check.error)

  /** The value in effect: what was given, else what the server makes of it, else the default. */
  function effective(name: string): unknown {
    const given = form.trainingArgs[name]
    if (isGiven(given)) return given
    return check.answer.value?.trainingArgs[name] ?? defaults[name]
  }

  function planned(): Body<'planMemory'> | null {
    const { baseModel, trainingArgs, gpuConfig } = body.value
    if (!baseModel) return null
    return { baseModel, trainingArgs, gpuConfig, mode: 'formula', devices: 1 } as Body<'planMemory'>
  }

  function setArgument(name: string, value: unknown): void {
    if (isGiven(value)) form.trainingArgs[name] = value
    else delete form.trainingArgs[name]
    delete marks[`trainingArgs.${name}`]
  }

  /** What somebody suggested: set, and marked with what it was. */
  function applyChange(changes: Record<string, unknown>): void {
    const { devices: count, ...trainingArgs } = changes
    const before = Object.fromEntries(Object.keys(trainingArgs).map((name) => [name, effective(name)]))
    change(form, marks, trainingArgs, before)
    if (typeof count === 'number') chooseDevices(count)
    if (Object.keys(trainingArgs).some((name) => !isBasic(`trainingArgs.${name}`))) advanced.value = true
  }

  /** So many devices of this machine, those that nobody holds first. */
  function chooseDevices(count: number): void {
    const there = [...(devices.data.value ?? [])].sort((one, other) => Number(!!one.taskId) - Number(!!other.taskId))
    marks['gpuConfig.cuda_visible_devices'] = form.cudaVisibleDevices
    form.cudaVisibleDevices = there.slice(0, count).map((device) => device.index).sort((a, b) => a - b).join(',')
  }

  function choosePreset(chosen: Preset): void {
    form.trainingArgs = withPreset(form.trainingArgs, chosen, presets())
    for (const field of Object.keys(marks)) delete marks[field]
  }

  function isBasic(field: string): boolean {
    const argument = schema.value.find((each) => `trainingArgs.${each.name}` === field)
    return !argument || argument.section === 'basic'
  }

  async function create(): Promise<void> {
    attempted.value = true
    creating.value = true
    failure.value = null
    try {
      const task = await post('createTask', { body: body.value })
      dropDraft(beginning.key)
      dropped = true
      tell(t('create.created', { name: task.name }))
      await router.push({ name: 'detail', params: { id: task.ID } })
    } catch (thrown) {
      if (thrown instanceof ApiError && thrown.errors.length) {
        refused.value = thrown.errors
        void showFirst()
      } else failure.value = thrown
    } finally {
      creating.value = false
    }
  }

  /** Bring a field into sight and begin there. */
  async function show(field: string): Promise<void> {
    if (!isBasic(field)) advanced.value = true
    await goTo(field)
  }

  async function showFirst(): Promise<void> {
    const first = problems.all.value[0]
    if (first) await show(first.field)
  }

  /** Back to how it began. */
  function discard(): void {
    dropDraft(beginning.key)
    Object.assign(form, structuredClone(beginning.form))
    for (const field of Object.keys(marks)) delete marks[field]
    Object.assign(marks, beginning.marks)
    restored.value = false
    attempted.value = false
    refused.value = []
  }

  let dropped = false
  let timer: number | undefined
  const store = () => {
    if (dropped) return
    if (same(form, beginning.form)) dropDraft(beginning.key)
    else keepDraft(beginning.key, { form, marks })
  }
  watch([form, marks], () => {
    // Other refusals are for the next look at what is typed; what is missing is missing still.
    refused.value = refused.value.filter((each) => problems.isMissing(each.field))
    failure.value = null
    window.clearTimeout(timer)
    timer = window.setTimeout(store, 300)
  })
  window.addEventListener('pagehide', store)
  onScopeDispose(() => {
    window.clearTimeout(timer)
    window.removeEventListener('pagehide', store)
    store()
  })

  const context = {
    ...{ form, marks, body, schema, presets, method, preset, models, devices, machine, check, plan, problems },
    ...{ advanced, restored, creating, failure, labelOf, effective, setArgument, applyChange, choosePreset, create, show, discard },
    givenCount: computed(() => Object.keys(givenOnly(form.trainingArgs)).filter((name) => !isBasic(`trainingArgs.${name}`)).length),
    markText: (field: string) => (field in marks ? textOf(marks[field]) : null),
  }
  provide(KEY, context)
  return context
}
