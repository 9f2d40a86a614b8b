/** A short word at the top of the page: that something was done, or why it was not. */

import { ElMessage } from 'element-plus/es'
import 'element-plus/es/components/message/style/css'
import { aborted } from '@/api/client'

/** Say that something was done. */
export function tell(message: string): void {
  ElMessage({ message, type: 'success', grouping: true })
}

/** Say why something was not done; errors of the server in its own words. */
export function tellError(error: unknown): void {
  if (aborted(error)) return
  const message = error instanceof Error ? error.message : String(error)
  ElMessage({ message, type: 'error', grouping: true, duration: 6000, showClose: true })
}
