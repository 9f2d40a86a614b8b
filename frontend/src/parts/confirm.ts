/**
 * Questions before what cannot be undone; each says what is kept and what is lost.
 *
 *     if (await confirmStop([task])) await post('stopTask', …)
 */

import { ElMessageBox } from 'element-plus/es'
import { h } from 'vue'
import 'element-plus/es/components/message-box/style/css'
import type { Status } from '@/api/types'
import { i18n } from '@/i18n'

/** What a question needs to know of a task. */
export interface AskedAbout {
  ID: number
  name: string
  status: Status
  outputPath?: string
}

/** Stop one or several tasks? */
export function confirmStop(tasks: AskedAbout[]): Promise<boolean> {
  const { t } = i18n.global
  return ask({
    title: t('common.stop.title', { count: tasks.length }, tasks.length),
    question: question('stop', tasks),
    notes: [t('common.stop.graceful'), t('common.stop.kept'), t('common.stop.lost')],
    yes: t('common.stop.yes'),
    no: t('common.stop.no'),
  })
}

/** Delete one or several tasks? */
export function confirmDelete(tasks: AskedAbout[]): Promise<boolean> {
  const { t } = i18n.global
  const notes = [t('common.delete.lost'), t('common.delete.kept')]
  if (tasks.some((task) => task.status === 'running')) notes.push(t('common.delete.running'))
  return ask({
    title: t('common.delete.title', { count: tasks.length }, tasks.length),
    question: question('delete', tasks),
    notes,
    yes: t('common.delete.yes'),
    no: t('common.cancel'),
  })
}

function question(what: 'stop' | 'delete', tasks: AskedAbout[]): string {
  const { t } = i18n.global
  const [first] = tasks
  return tasks.length === 1 && first
    ? t(`common.${what}.one`, { name: first.name, id: first.ID })
    : t(`common.${what}.many`, { count: tasks.length })
}

interface Question {
  title: string
  question: string
  notes: string[]
  yes: string
  no: string
}

async function ask(asked: Question): Promise<boolean> {
  const message = h('div', [
    h('p', { style: 'overflow-wrap: anywhere; color: var(--text)' }, asked.question),
    h(
      'ul',
      { style: 'margin-top: 8px; padding-left: 20px' },
      asked.notes.map((note) => h('li', note)),
    ),
  ])
  try {
    await ElMessageBox.confirm(message, asked.title, {
      confirmButtonText: asked.yes,
      cancelButtonText: asked.no,
      confirmButtonType: 'danger',
      // Enter must not destroy anything.
      autofocus: false,
      closeOnClickModal: false,
    })
    return true
  } catch {
    return false
  }
}
