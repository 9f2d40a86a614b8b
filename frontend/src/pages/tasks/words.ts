/** What the list says of a task. */

import { me } from '@/api/session'
import type { Task } from '@/api/types'
import { i18n } from '@/i18n'
import { formatTime } from '@/parts/format'

/** "/models/Qwen2-7B" -> "Qwen2-7B", "THUDM/chatglm3-6b" -> "chatglm3-6b". */
export function shortModel(model: string): string {
  return model.replace(/\/+$/, '').split('/').at(-1) || model
}

export function methodName(task: Task): string {
  const { t, te } = i18n.global
  const method = String(task.trainingArgs.method ?? '')
  return te(`list.method.${method}`) ? t(`list.method.${method}`) : method
}

/** What it runs or ran on; what it waits for while it waits; "" where nothing is known yet. */
export function deviceName(task: Task): string {
  const { t } = i18n.global
  const wanted = String(task.gpuConfig.cuda_visible_devices ?? '')
  if (task.status === 'pending' || (task.attempt === 0 && !task.devices.length)) {
    return wanted && t('list.device.wanted', { devices: wanted })
  }
  if (!task.devices.length) return 'CPU'
  const name = `GPU ${task.devices.join(',')}`
  return task.simulated ? t('list.device.simulated', { name }) : name
}

export function phaseName(phase: string): string {
  const { t, te } = i18n.global
  return te(`list.phase.${phase}`) ? t(`list.phase.${phase}`) : phase
}

export function ownerName(task: Task): string {
  const { t } = i18n.global
  if (task.userID === null) return t('nav.account')
  return (me.value?.userID === task.userID && me.value.name) || t('list.user', { id: task.userID })
}

/** "01-22 14:03" of this year, "2024-01-22" of another. */
export function shortTime(moment: number | string | null): string {
  const text = formatTime(moment)
  return text.startsWith(`${new Date().getFullYear()}-`) ? text.slice(5, 16) : text.slice(0, 10)
}

export function canStop(task: Task): boolean {
  return (task.status === 'running' && task.phase !== 'stopping') || task.status === 'pending'
}

export function hasEnded(task: Task): boolean {
  return task.status !== 'running' && task.status !== 'pending'
}
