/** Numbers, sizes, times and durations as the reader writes them. */

import { language } from '@/i18n'

const NONE = '—'

function locale(): string {
  return language.value === 'zh' ? 'zh-CN' : 'en'
}

/** 1536 -> "1.5 KiB"; null -> "—". */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined || !Number.isFinite(bytes)) return NONE
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = Math.abs(bytes)
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1
  return `${bytes < 0 ? '-' : ''}${formatNumber(value, digits)} ${units[unit]}`
}

const numberFormats = new Map<string, Intl.NumberFormat>()

/** Made once: making one takes far longer than writing a number with it. */
function numberFormat(locale: string, maximumFractionDigits: number): Intl.NumberFormat {
  const key = `${locale} ${maximumFractionDigits}`
  let found = numberFormats.get(key)
  if (!found) numberFormats.set(key, (found = new Intl.NumberFormat(locale, { maximumFractionDigits })))
  return found
}

/** 12345.678 -> "12,345.68". */
export function formatNumber(value: number | null | undefined, digits = 2): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE
  return numberFormat(locale(), digits).format(value)
}

/** A loss, a learning rate: four significant digits, 2e-4 where it is small. */
export function formatValue(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE
  const size = Math.abs(value)
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) {
    return value.toExponential(3).replace(/\.?0+e/, 'e').replace('e+', 'e')
  }
  return String(Number(value.toPrecision(4)))
}

/** 37.25 -> "37.3%". */
export function formatPercent(value: number | null | undefined, digits = 1): string {
  return value === null || value === undefined ? NONE : `${formatNumber(value, digits)}%`
}

/** 6_738_000_000 -> "6.7B"; the field counts parameters so in either language. */
export function formatParameters(count: number | null | undefined): string {
  if (count === null || count === undefined) return NONE
  for (const [unit, name] of [[1e9, 'B'], [1e6, 'M'], [1e3, 'K']] as const) {
    if (count >= unit) return `${Number((count / unit).toPrecision(count / unit >= 100 ? 3 : 2))}${name}`
  }
  return String(count)
}

const UNITS = {
  zh: { day: ' 天', hour: ' 小时', minute: ' 分', second: ' 秒', join: ' ' },
  en: { day: 'd', hour: 'h', minute: 'm', second: 's', join: ' ' },
}

/** Seconds -> "1 小时 5 分" or "1h 5m": the two largest parts. */
export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE
  const words = UNITS[language.value]
  const whole = Math.max(0, Math.round(seconds))
  const parts = [
    [Math.floor(whole / 86400), words.day],
    [Math.floor((whole % 86400) / 3600), words.hour],
    [Math.floor((whole % 3600) / 60), words.minute],
    [whole % 60, words.second],
  ] as const
  const first = parts.findIndex(([count]) => count > 0)
  if (first < 0) return `0${words.second}`
  return parts
    .slice(first, first + 2)
    .filter(([count], index) => index === 0 || count > 0)
    .map(([count, word]) => `${count}${word}`)
    .join(words.join)
}

type Moment = number | string | Date | null | undefined

/** Unix seconds (as the API counts), an ISO text or a Date. */
function dateOf(moment: Moment): Date | null {
  if (moment === null || moment === undefined || moment === '') return null
  const date = typeof moment === 'number' ? new Date(moment * 1000) : new Date(moment)
  return Number.isNaN(date.getTime()) ? null : date
}

const pad = (value: number) => String(value).padStart(2, '0')

/** "2025-01-22 14:03:09", local time: sorts and lines up in either language. */
export function formatTime(moment: Moment): string {
  const date = dateOf(moment)
  if (!date) return NONE
  return `${formatDate(moment)} ${formatClock(moment)}`
}

/** "01-22 14:03" of this year, "2024-01-22" of another. */
export function formatShortTime(moment: Moment): string {
  const text = formatTime(moment)
  return text.startsWith(`${new Date().getFullYear()}-`) ? text.slice(5, 16) : text.slice(0, 10)
}

/** "2025-01-22". */
export function formatDate(moment: Moment): string {
  const date = dateOf(moment)
  if (!date) return NONE
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`
}

/** "14:03:09". */
export function formatClock(moment: Moment): string {
  const date = dateOf(moment)
  if (!date) return NONE
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`
}

/** "3 分钟前", "3 minutes ago". */
export function formatAgo(moment: Moment, now: number = Date.now()): string {
  const date = dateOf(moment)
  if (!date) return NONE
  const seconds = (date.getTime() - now) / 1000
  const words = new Intl.RelativeTimeFormat(locale(), { numeric: 'auto' })
  for (const [unit, size] of [['day', 86400], ['hour', 3600], ['minute', 60]] as const) {
    if (Math.abs(seconds) >= size) return words.format(Math.round(seconds / size), unit)
  }
  return words.format(Math.round(seconds), 'second')
}
