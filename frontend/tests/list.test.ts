import { describe, expect, it } from 'vitest'
import { filtered, FIRST, fromAddress, sortedBy, toAddress, toCall } from '../src/pages/tasks/query'

describe('the list in its address', () => {
  it('is bare at first', () => {
    expect(fromAddress({})).toEqual(FIRST)
    expect(toAddress(FIRST)).toEqual({})
  })

  it('goes there and back', () => {
    const query = { page: 3, size: 50, status: 'failed', name: 'a & b', model: '/m/Qwen2-7B', sort: 'name', desc: false } as const
    const address = toAddress(query)
    expect(address).toEqual({ page: '3', size: '50', status: 'failed', name: 'a & b', model: '/m/Qwen2-7B', sort: 'name' })
    expect(fromAddress(address as Record<string, string>)).toEqual(query)
  })

  it('keeps the oldest first apart from the newest first', () => {
    const oldest = { ...FIRST, desc: false }
    expect(toAddress(oldest)).toEqual({ sort: 'ID' })
    expect(fromAddress({ sort: 'ID' })).toEqual(oldest)
  })

  it('takes what nobody wrote as not given', () => {
    expect(fromAddress({ page: '-1', size: '7', status: 'lost', sort: '-password' })).toEqual(FIRST)
    expect(fromAddress({ page: '1e999' })).toEqual(FIRST)
    expect(fromAddress({ name: ['x', 'y'], status: null })).toEqual({ ...FIRST, name: 'x' })
  })
})

describe('the list', () => {
  it('asks for a name without the spaces round it', () => {
    expect(toCall({ ...FIRST, name: ' qa ' })).toMatchObject({ name: 'qa', page: 1, pageSize: 20, orderKey: 'ID', desc: true })
    expect(filtered({ ...FIRST, name: '  ' })).toBe(false)
    expect(filtered({ ...FIRST, status: 'failed' })).toBe(true)
  })

  it('is turned round by the same column, and begins anew with another', () => {
    const byName = sortedBy({ ...FIRST, page: 4 }, 'name')
    expect(byName).toEqual({ ...FIRST, sort: 'name', desc: false })
    expect(sortedBy(byName, 'name').desc).toBe(true)
    expect(sortedBy(byName, 'progress')).toEqual({ ...FIRST, sort: 'progress', desc: true })
  })
})
