/** mremap: the order of checks, and moves of several mappings at once, are those of Linux 6.17. */

import { mapFlags, mremapFlags, protFlags } from '../abi/constants/memory.ts';
import { errno } from '../abi/errno.ts';
import { clip, hostProtection, type Mapping, misaligned, PAGE, wholePages } from './mapping.ts';
import { MIN_ADDRESS } from './placement.ts';
import type { SpaceState } from './space-state.ts';

const { PROT_WRITE } = protFlags.values;
const { MAP_ANONYMOUS, MAP_LOCKED, MAP_NORESERVE } = mapFlags.values;
const MAP_PRIVATE = 2;
const { MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP } = mremapFlags.values;

export function mremap(space: SpaceState, oldAddr: number, oldLength: number, newLength: number, flags: number, newAddr = 0): number {
  const oldBytes = wholePages(oldLength);
  const bytes = wholePages(newLength);
  const mayMove = (flags & MREMAP_MAYMOVE) !== 0;
  const fixed = (flags & MREMAP_FIXED) !== 0;
  const keep = (flags & MREMAP_DONTUNMAP) !== 0;
  if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) return -errno.EINVAL;
  if (misaligned(oldAddr) || bytes === 0 || bytes > space.size) return -errno.EINVAL;
  if (!fixed && !keep) return resize(space, oldAddr, oldBytes, bytes, mayMove);

  if (newAddr > space.size - bytes || misaligned(newAddr)) return -errno.EINVAL;
  if ((keep && oldBytes !== bytes) || !mayMove) return -errno.EINVAL;
  if (oldAddr + oldBytes > newAddr && newAddr + bytes > oldAddr) return -errno.EINVAL;
  if (!fixed || oldBytes !== bytes) return moveTo(space, oldAddr, oldBytes, newAddr, bytes, fixed, keep);

  // One size and a given place: all mappings of the range move, and the gaps between them stay gaps.
  let result = -errno.EFAULT;
  for (const m of space.list.in(oldAddr, oldAddr + oldBytes)) {
    const part = clip(m, oldAddr, oldAddr + oldBytes);
    if (result < 0 && part.start > oldAddr) return -errno.EFAULT;
    const length = part.end - part.start;
    const moved = moveTo(space, part.start, length, newAddr + (part.start - oldAddr), length, true, keep);
    if (moved < 0) return moved;
    if (result < 0) result = moved;
  }
  return result;
}

/** mremap to another place: a given one (whatever is there goes) or, to keep the old range mapped, a free one. */
function moveTo(space: SpaceState, oldAddr: number, oldBytes: number, newAddr: number, bytes: number, fixed: boolean, keep: boolean): number {
  const m = space.list.at(oldAddr);
  if (m === undefined) return -errno.EFAULT;
  if (m.sealed) return -errno.EPERM;
  const refusal = mayResize(space, m, oldAddr, oldBytes, bytes, keep);
  if (refusal < 0) return refusal;
  if (fixed) {
    if (newAddr < MIN_ADDRESS) return -errno.EPERM;
    if (space.sealedIn(newAddr, newAddr + bytes)) return -errno.EPERM;
    const result = space.unmap(newAddr, newAddr + bytes);
    if (result < 0) return result;
  }
  if (oldBytes > bytes) {
    const result = space.unmap(oldAddr + bytes, oldAddr + oldBytes);
    if (result < 0) return result;
  }
  // Making room may have taken the source itself (old size 0) away.
  const source = space.list.at(oldAddr);
  if (source === undefined) return -errno.EFAULT;
  const place = fixed ? newAddr : space.place(newAddr, bytes, 0);
  return place < 0 ? place : move(space, source, oldAddr, Math.min(oldBytes, bytes), place, bytes, keep);
}

/** mremap without a place: shrink or grow where it is, or move if it must and may. */
function resize(space: SpaceState, start: number, oldBytes: number, bytes: number, mayMove: boolean): number {
  const m = space.list.at(start);
  if (m === undefined) return -errno.EFAULT;
  if (m.sealed) return -errno.EPERM;
  if (oldBytes >= bytes) {
    if (oldBytes === bytes) return start;
    if (start + oldBytes > space.size) return -errno.EINVAL;
    if (space.sealedIn(start + bytes, start + oldBytes)) return -errno.EPERM;
    const result = space.unmap(start + bytes, start + oldBytes);
    return result < 0 ? result : start;
  }
  const refusal = mayResize(space, m, start, oldBytes, bytes, false);
  if (refusal < 0) return refusal;
  if (oldBytes > 0 && start + oldBytes === m.end) {
    const end = start + bytes;
    const next = space.list.above(m.end);
    if (end <= space.size && (next === undefined || end <= next.start)) return extend(space, m, start, oldBytes, bytes);
  }
  if (!mayMove) return -errno.ENOMEM;
  const place = space.place(0, bytes, 0);
  return place < 0 ? place : move(space, m, start, oldBytes, place, bytes, false);
}

/** The checks of growing or moving [oldAddr, oldAddr+oldBytes), which begins in `m`. */
function mayResize(space: SpaceState, m: Mapping, oldAddr: number, oldBytes: number, bytes: number, keep: boolean): number {
  if (oldBytes === 0 && (!m.shared || m.backing === undefined)) return -errno.EINVAL;
  // What will be cut off may lie in other mappings, what stays may not.
  if (Math.min(oldBytes, bytes) > m.end - oldAddr) return -errno.EFAULT;
  if (bytes > space.size) return -errno.ENOMEM;
  const growth = keep || oldBytes === 0 ? bytes : bytes - oldBytes;
  return space.mayGrow(Math.max(0, growth), !m.shared && (m.prot & PROT_WRITE) !== 0);
}

/** Grow in place; the pages behind are free. */
function extend(space: SpaceState, m: Mapping, start: number, oldBytes: number, bytes: number): number {
  const from = start + oldBytes;
  if (m.backing === undefined) {
    const reserve = m.noReserve ? MAP_NORESERVE : 0;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | reserve | (m.locked ? MAP_LOCKED : 0);
    const result = space.hostMap(from, bytes - oldBytes, hostProtection(m.prot), flags, -1, 0);
    if (result < 0) return result;
  } else {
    // Only the kernel still knows the file: take the mapping aside, and bring it back longer.
    const aside = space.range.moveAside(start, oldBytes);
    if (aside < 0) return aside;
    const result = space.range.remap(aside, oldBytes, space.range.base + start, bytes);
    if (result < 0) {
      space.range.remap(aside, oldBytes, space.range.base + start, oldBytes);
      return result;
    }
  }
  space.list.insert({ ...clip(m, start, from), end: start + bytes });
  return start;
}

/** Move to `place`, which is free, and change the size; `keep` leaves the old range mapped, empty. */
function move(space: SpaceState, m: Mapping, start: number, oldBytes: number, place: number, bytes: number, keep: boolean): number {
  const base = space.range.base;
  const end = start + oldBytes;
  const moved: Mapping = { ...clip(m, start, Math.max(end, start + PAGE)), start: place, end: place + bytes };
  if (oldBytes === 0) {
    // A second view of shared memory: the kernel's own meaning of old size 0.
    const result = space.range.remap(base + start, 0, base + place, bytes);
    if (result < 0) return space.repair(place, bytes, result);
    space.list.insert(moved);
    return place;
  }
  if (m.backing === undefined) {
    let result = space.range.remapKeeping(start, oldBytes, base + place);
    if (result >= 0 && bytes > oldBytes) {
      const flags = MAP_PRIVATE | MAP_ANONYMOUS | (m.noReserve ? MAP_NORESERVE : 0) | (m.locked ? MAP_LOCKED : 0);
      result = space.hostMap(place + oldBytes, bytes - oldBytes, hostProtection(m.prot), flags, -1, 0);
      if (result < 0) {
        space.range.remapKeeping(place, oldBytes, base + start);
        space.range.close(place, place + bytes);
        return result;
      }
    }
    if (result < 0) return space.repair(place, bytes, result);
  } else {
    const aside = space.range.moveAside(start, oldBytes);
    if (aside < 0) return aside;
    const result = space.range.remap(aside, oldBytes, base + place, bytes);
    if (result < 0) {
      space.range.remap(aside, oldBytes, base + start, oldBytes);
      return space.repair(place, bytes, result);
    }
  }
  space.codeGone(start, end);
  if (keep) space.list.update(start, end, (part) => ({ ...part, locked: false }));
  else {
    space.range.close(start, end);
    space.list.remove(start, end);
  }
  space.list.insert(moved);
  return place;
}
