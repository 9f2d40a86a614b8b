/** Series and the theme's colours -> the option of an ECharts instance. */

import type { EChartsCoreOption } from 'echarts/core'
import { formatClock, formatDuration, formatNumber, formatTime, formatValue } from '../format'
import { between, smoothed, type Point, type Series, type XType } from './series'

export interface Look {
  series: readonly Series[]
  xType: XType
  logY: boolean
  smoothing: number
  xName: string
  yName: string
  extent?: readonly [number, number]
  /** What is shown of the x axis; null: all. */
  range: readonly [number, number] | null
}

/** The colours of the page as it is now: a canvas does not follow CSS. */
export interface Colours {
  text: string
  faint: string
  line: string
  card: string
  raised: string
  series: string[]
}

export function coloursOf(element: Element): Colours {
  const style = getComputedStyle(element)
  const read = (name: string) => style.getPropertyValue(name).trim()
  return {
    text: read('--text-2'),
    faint: read('--text-3'),
    line: read('--line'),
    card: read('--card'),
    raised: read('--raised'),
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => read(`--series-${number}`)),
  }
}

const DOTS_AT_MOST = 40

export function optionOf(look: Look, colours: Colours): EChartsCoreOption {
  const several = look.series.length > 1
  const unit = unitOf(look.xType)
  const [from, to] = look.range ?? look.extent ?? []
  const label = { color: colours.faint, fontSize: 12 }
  return {
    animation: false,
    grid: { left: 8, right: 16, top: several ? 36 : 16, bottom: 8, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    legend: { show: several, type: 'scroll', top: 0, left: 0, icon: 'roundRect', itemWidth: 16, itemHeight: 4, textStyle: { color: colours.text, width: 240, overflow: 'truncate' }, pageTextStyle: { color: colours.text }, pageIconColor: colours.text, tooltip: { show: true } },
    tooltip: {
      trigger: 'axis',
      confine: true,
      backgroundColor: colours.raised,
      borderColor: colours.line,
      textStyle: { color: colours.text, fontSize: 13 },
      axisPointer: { lineStyle: { color: colours.faint }, animation: false },
      formatter: (shown: Shown[]) => tooltip(shown, look),
    },
    xAxis: {
      type: look.xType === 'time' ? 'time' : 'value',
      min: from === undefined ? 'dataMin' : from * unit,
      max: to === undefined ? 'dataMax' : to * unit,
      minInterval: look.xType === 'step' ? 1 : undefined,
      axisLabel: { ...label, hideOverlap: true, formatter: look.xType === 'time' ? undefined : (x: number) => xLabel(x, look.xType) },
      axisLine: { lineStyle: { color: colours.line } },
      axisTick: { show: false },
      splitLine: { show: false },
    },
    yAxis: {
      type: look.logY ? 'log' : 'value',
      scale: true,
      // Else a curve within one power of ten would lie flat between two.
      min: look.logY ? ({ min }: Extent) => firstDigit(min, Math.floor) : undefined,
      max: look.logY ? ({ max }: Extent) => firstDigit(max, Math.ceil) : undefined,
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { ...label, formatter: tiny(look.series) ? exponential : (y: number) => formatValue(y) },
      splitLine: { lineStyle: { color: colours.line } },
    },
    // Its icon is not shown: dragging over the chart is always a choice of what to see.
    toolbox: { top: -40, feature: { dataZoom: { yAxisIndex: 'none', filterMode: 'none', brushStyle: { color: colours.faint, opacity: 0.15 } } } },
    series: look.series.flatMap((series, place) => linesOf(series, place, look, colours)),
  }
}

function linesOf(series: Series, place: number, look: Look, colours: Colours): object[] {
  const colour = colours.series[(series.colour ?? place + 1) - 1] ?? colours.series[place % 8]
  const shown = between(series.points, look.range).map((point) => placed(point, look))
  const base = {
    type: 'line',
    name: series.name,
    color: colour,
    sampling: 'lttb',
    emphasis: { disabled: true },
    lineStyle: { width: 2, type: series.dashed ? 'dashed' : 'solid' },
  }
  if (series.smooth === false || look.smoothing <= 0) {
    // A curve of one point would not be seen; dots of many would hide it.
    const dots = (series.smooth === false && shown.length <= DOTS_AT_MOST) || shown.length === 1
    return [{ ...base, id: `${place}`, data: shown, showSymbol: dots, symbol: 'circle', symbolSize: 6 }]
  }
  const soft = between(smoothed(series.points, look.smoothing), look.range).map((point) => placed(point, look))
  return [
    { ...base, id: `${place} raw`, data: shown, showSymbol: false, silent: true, lineStyle: { ...base.lineStyle, width: 1, opacity: 0.28 } },
    { ...base, id: `${place}`, data: soft, showSymbol: shown.length === 1 },
  ]
}

/** Whether an axis would have 0.0012 beside 9e-4. */
function tiny(series: readonly Series[]): boolean {
  return series.every(({ points }) => points.every(([, y]) => !(Math.abs(y) >= 0.01)))
}

/** 0.0012 -> "1.2e-3". */
function exponential(y: number): string {
  return y === 0 ? '0' : Number(y.toPrecision(4)).toExponential().replace('e+', 'e')
}

interface Extent {
  min: number
  max: number
}

/** 0.437 -> 0.4 (floor) or 0.5 (ceil). */
function firstDigit(value: number, round: (value: number) => number): number | undefined {
  if (!(value > 0) || !Number.isFinite(value)) return undefined
  const power = 10 ** Math.floor(Math.log10(value))
  return Number((round(value / power) * power).toPrecision(1))
}

/** A point where the axes can show it. */
function placed([x, y]: Point, look: Look): [number, number | null] {
  const seen = Number.isFinite(y) && !(look.logY && y <= 0)
  return [x * unitOf(look.xType), seen ? y : null]
}

/** ECharts counts time in milliseconds. */
export function unitOf(xType: XType): number {
  return xType === 'time' ? 1000 : 1
}

function xLabel(x: number, xType: XType): string {
  return xType === 'duration' ? formatDuration(x) : formatNumber(x, 0)
}

interface Shown {
  seriesId?: string
  seriesName?: string
  color?: unknown
  value: [number, number | null]
}

/** Elements, not markup: names are people's. */
function tooltip(pointed: (Omit<Shown, 'value'> & Partial<Shown>)[], look: Look): HTMLElement[] | string {
  // A point under the pointer may be gone when the data has just changed.
  const shown = pointed.filter((each): each is Shown => each.value !== undefined)
  const first = shown[0]
  if (!first) return ''
  const head = document.createElement('div')
  const x = first.value[0]
  head.textContent =
    look.xType === 'time' ? `${formatTime(x / 1000)}` : `${look.xName} ${xLabel(x, look.xType)}`
  const lines = shown
    .filter(({ seriesId, value }) => !seriesId?.endsWith(' raw') && value[1] !== null)
    .map(({ seriesId, seriesName, color, value }) => {
      const line = document.createElement('div')
      const dot = document.createElement('span')
      dot.style.cssText = `display:inline-block;width:8px;height:8px;margin-right:6px;border-radius:4px;background:${String(color)}`
      const raw = shown.find((each) => each.seriesId === `${seriesId} raw`)?.value[1]
      const text = raw === undefined || raw === null ? formatValue(value[1]) : `${formatValue(value[1])} (${formatValue(raw)})`
      line.append(dot, `${seriesName}  ${text}`)
      return line
    })
  return [head, ...lines]
}

/** The name of a downloaded file, e.g. "loss-14.03.09". */
export function fileStem(name: string): string {
  return `${name.replace(/[\\/:*?"<>|\s]+/g, '-')}-${formatClock(new Date()).replaceAll(':', '.')}`
}
