/**
 * Where a mapping goes when the guest leaves the choice: the kernel's rules of get_unmapped_area on x86-64.
 */

import type { MappingList } from './mapping.ts';

/** Below this nothing may be mapped (vm.mmap_min_addr). Translated code relies on it. */
export const MIN_ADDRESS = 0x10000;
/** Kept free below a mapping that grows down (stack_guard_gap). */
export const STACK_GUARD_GAP = 0x100000;

/** Where a mapping's reach begins: further down if it can grow. */
export function gapStart(m: { start: number; growsDown: boolean }): number {
  return m.growsDown ? Math.max(0, m.start - STACK_GUARD_GAP) : m.start;
}

/** The highest free place for `length` bytes below `top`; −1 if there is none. */
export function findTopDown(list: MappingList, length: number, top: number): number {
  const all = list.all;
  let high = top;
  for (let i = list.indexAbove(top - 1); i >= 0; i--) {
    const m = all[i];
    if (m === undefined) continue;
    if (high - m.end >= length) return high - length;
    high = Math.min(high, gapStart(m));
  }
  return high - MIN_ADDRESS >= length ? high - length : -1;
}

/** The lowest free place for `length` bytes in [low, high); −1 if there is none. */
export function findBottomUp(list: MappingList, length: number, low: number, high: number): number {
  const all = list.all;
  let at = low;
  for (let i = list.indexAbove(low); i < all.length && all[i]!.start < high; i++) {
    if (gapStart(all[i]!) - at >= length) return at;
    at = Math.max(at, all[i]!.end);
  }
  return high - at >= length ? at : -1;
}

/** True if [start, start + length) touches no mapping and no guard gap. */
export function isFree(list: MappingList, start: number, length: number): boolean {
  const next = list.above(start);
  return next === undefined || start + length <= gapStart(next);
}

/** Where files have their homes: between the heap of a fixed-address program and position-independent ones. */
const HOMES = { start: 0x1_0000_0000, end: 0x1_5000_0000, grain: 0x10000 } as const;

/**
 * The address a file is mapped at from its beginning whatever else is mapped, as long as the place is free: the same
 * library then lies at the same address in every program, and what was translated of it once fits again.
 */
export function fileHome(dev: number, inode: number, length: number, size: number): number {
  const room = Math.floor((HOMES.end - HOMES.start - length) / HOMES.grain);
  if (room <= 0 || size < 2 * HOMES.end) return -1;
  let hash = Math.imul(inode | 0, 0x9e3779b1) ^ Math.imul(Math.floor(inode / 4294967296) ^ dev, 0x85ebca6b);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  hash ^= hash >>> 13;
  return HOMES.start + ((hash >>> 0) % room) * HOMES.grain;
}
