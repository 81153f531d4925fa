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
