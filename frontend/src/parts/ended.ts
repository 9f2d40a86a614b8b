/** Whether a task has come to its end. */

import type { Status } from '@/api/types'

export const ended = (status: Status) => status === 'completed' || status === 'failed' || status === 'stopped'
