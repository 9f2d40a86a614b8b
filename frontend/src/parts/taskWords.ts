/** What every page says of a task: its model, its method, its device, its phase. */

import type { Task } from '@/api/types'
import { i18n } from '@/i18n'

/** "/models/Qwen2-7B" -> "Qwen2-7B", "THUDM/chatglm3-6b" -> "chatglm3-6b". */
export function shortModel(model: string): string {
  return model.replace(/\/+$/, '').split('/').at(-1) || model
}

export function methodName(task: Task): string {
  const { t, te } = i18n.global
  const method = String(task.trainingArgs.method ?? '')
  return te(`common.method.${method}`) ? t(`common.method.${method}`) : method
}

/** What it runs or ran on; what it waits for while it waits; "" where nothing is known yet. */
export function deviceName(task: Task): string {
  const { t } = i18n.global
  const wanted = String(task.gpuConfig.cuda_visible_devices ?? '')
  if (task.status === 'pending' || (task.attempt === 0 && !task.devices.length)) {
    return wanted && t('common.device.wanted', { devices: wanted })
  }
  if (!task.devices.length) return 'CPU'
  const name = `GPU ${task.devices.join(',')}`
  return task.simulated ? t('common.device.simulated', { name }) : name
}

export function phaseName(phase: string): string {
  const { t, te } = i18n.global
  return te(`common.phase.${phase}`) ? t(`common.phase.${phase}`) : phase
}
