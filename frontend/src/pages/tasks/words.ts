/** What the list alone says of a task. */

import { me } from '@/api/session'
import type { Task } from '@/api/types'
import { i18n } from '@/i18n'

export function ownerName(task: Task): string {
  const { t } = i18n.global
  if (task.userID === null) return t('nav.account')
  return (me.value?.userID === task.userID && me.value.name) || t('list.user', { id: task.userID })
}

export function canStop(task: Task): boolean {
  return (task.status === 'running' && task.phase !== 'stopping') || task.status === 'pending'
}
