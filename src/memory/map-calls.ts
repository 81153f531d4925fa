/** mmap, munmap, mprotect, brk, and the growth of stacks. */

import { mapFlags, protFlags } from '../abi/constants/memory.ts';
import { errno } from '../abi/errno.ts';
import { anonymousMapping, type Backing, clip, HOST_MAP_FLAGS, hostProtection, misaligned, PAGE, wholePages } from './mapping.ts';
import { fileHome, gapStart, isFree, MIN_ADDRESS } from './placement.ts';
import type { SpaceState } from './space-state.ts';

const { PROT_READ, PROT_WRITE, PROT_EXEC, PROT_SEM, PROT_GROWSDOWN, PROT_GROWSUP } = protFlags.values;
const {
  MAP_FIXED, MAP_ANONYMOUS, MAP_32BIT, MAP_GROWSDOWN, MAP_LOCKED, MAP_NORESERVE, MAP_HUGETLB, MAP_FIXED_NOREPLACE,
} = mapFlags.values;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_SHARED_VALIDATE = 3;
const MAP_TYPE = 0xf;
const PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC;
/** The guest has a say in where it goes. */
const PLACED = MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT;

/** mmap(2). `hostFd` is the host's descriptor (any invalid one for a bad guest descriptor); ignored if anonymous. */
export function mmap(space: SpaceState, addr: number, length: number, prot: number, flags: number, hostFd = -1, offset = 0): number {
  if (misaligned(offset)) return -errno.EINVAL;
  const anonymous = (flags & MAP_ANONYMOUS) !== 0;
  let backing: Backing | undefined;
  if (!anonymous) {
    const file = space.range.describe(hostFd, (flags & MAP_TYPE) !== MAP_PRIVATE);
    if (typeof file === 'number') return file;
    backing = file;
    // Only files of hugetlbfs may be mapped so; the engine does not have its pages.
    if (flags & MAP_HUGETLB) return -errno.EINVAL;
  } else if (flags & MAP_HUGETLB) return -errno.ENOMEM;
  if (length === 0) return -errno.EINVAL;
  const bytes = wholePages(length);
  if (bytes > space.size) return -errno.ENOMEM;
  // A reservation to make a heap in. Who asks for that much takes less when refused, and GHC's run-time system, which
  // wants its heap above 8 GiB, would ask for ever where more than the upper half is granted lower down.
  if (anonymous && prot === 0 && flags & MAP_NORESERVE && bytes > space.size / 2) return -errno.ENOMEM;

  let place = -1;
  if (space.fileHomes && addr === 0 && offset === 0 && backing?.kind === 'file' && (flags & MAP_TYPE) === MAP_PRIVATE) {
    place = fileHome(backing.dev, backing.inode, bytes, space.size);
    if (place >= 0 && !isFree(space.list, place, bytes)) place = -1;
  }
  if (place < 0 || (flags & PLACED) !== 0) place = space.place(addr, bytes, flags);
  if (place < 0) return place;
  if (flags & MAP_FIXED_NOREPLACE && space.list.in(place, place + bytes).length > 0) return -errno.EEXIST;

  const type = flags & MAP_TYPE;
  const shared = type === MAP_SHARED || type === MAP_SHARED_VALIDATE;
  if (!shared && type !== MAP_PRIVATE) return -errno.EINVAL;
  if (anonymous && type === MAP_SHARED_VALIDATE) return -errno.EINVAL;
  const growsDown = (flags & MAP_GROWSDOWN) !== 0;
  if (growsDown && (!anonymous || shared)) return -errno.EINVAL;
  if (anonymous && shared) backing = { kind: 'shared-anonymous', path: '/dev/zero (deleted)', dev: 0, inode: 0, id: space.nextBacking(), writable: true };
  if (!anonymous && prot & PROT_EXEC && space.range.mountedNoExec(hostFd)) return -errno.EPERM;
  if (space.sealedIn(place, place + bytes)) return -errno.EPERM;
  const refusal = space.mayGrow(bytes - space.mappedIn(place, place + bytes), !shared && (prot & PROT_WRITE) !== 0);
  if (refusal < 0) return refusal;

  const result = space.hostMap(place, bytes, hostProtection(prot), flags & HOST_MAP_FLAGS, anonymous ? -1 : hostFd, anonymous ? 0 : offset);
  if (result < 0) return result;
  const end = place + bytes;
  space.codeGone(place, end);
  space.list.insert({
    start: place, end, prot: prot & PROT_ALL, shared, backing, offset: anonymous ? 0 : offset, name: '', growsDown,
    noReserve: (flags & MAP_NORESERVE) !== 0, locked: (flags & MAP_LOCKED) !== 0, advice: 0, sealed: false,
  });
  space.lockIfFuture(place, end);
  return place;
}

export function munmap(space: SpaceState, addr: number, length: number): number {
  if (misaligned(addr) || addr > space.size || length > space.size - addr) return -errno.EINVAL;
  if (length === 0) return -errno.EINVAL;
  const end = addr + wholePages(length);
  if (space.sealedIn(addr, end)) return -errno.EPERM;
  return space.unmap(addr, end);
}

export function mprotect(space: SpaceState, addr: number, length: number, prot: number): number {
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP)) return -errno.EINVAL;
  if (misaligned(addr)) return -errno.EINVAL;
  if (length === 0) return 0;
  const bytes = wholePages(length);
  if (addr + bytes > 2 ** 64) return -errno.ENOMEM;
  const end = addr + bytes;
  if (prot & ~(PROT_ALL | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP)) return -errno.EINVAL;
  const first = space.list.above(addr);
  if (first === undefined) return -errno.ENOMEM;
  let start = addr;
  if (grows === PROT_GROWSDOWN) {
    if (first.start >= end) return -errno.ENOMEM;
    if (!first.growsDown) return -errno.EINVAL;
    start = first.start;
  } else {
    if (first.start > addr) return -errno.ENOMEM;
    if (grows === PROT_GROWSUP) return -errno.EINVAL;
  }
  let at = start;
  for (const m of space.list.in(start, end)) {
    if (m.start > at) return -errno.ENOMEM;
    const part = clip(m, start, end);
    if (m.sealed) return -errno.EPERM;
    if (part.prot !== (prot & PROT_ALL)) {
      const result = space.range.call('mprotect', part.start, part.end - part.start, hostProtection(prot));
      if (result < 0) return result;
      if (part.prot & PROT_EXEC) space.listener.codeChanged(part.start, part.end);
      space.list.insert({ ...part, prot: prot & PROT_ALL });
    }
    at = m.end;
  }
  return at < end ? -errno.ENOMEM : 0;
}

/** brk(2) as the kernel has it: the new break, or the old one if it cannot be moved. */
export function brk(space: SpaceState, addr: number): number {
  if (space.brkStart === 0 || addr < space.brkStart || addr > space.size) return space.brkEnd;
  const oldPage = wholePages(space.brkEnd);
  const newPage = wholePages(addr);
  if (newPage < oldPage) {
    if (space.sealedIn(newPage, oldPage) || space.unmap(newPage, oldPage) < 0) return space.brkEnd;
  } else if (newPage > oldPage) {
    if (addr - space.brkStart > space.limits.data()) return space.brkEnd;
    const next = space.list.above(oldPage);
    if (next !== undefined && newPage + PAGE > gapStart(next)) return space.brkEnd;
    if (space.mayGrow(newPage - oldPage, true) < 0) return space.brkEnd;
    const prot = PROT_READ | PROT_WRITE;
    if (space.hostMap(oldPage, newPage - oldPage, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) < 0) return space.brkEnd;
    space.list.insert(anonymousMapping(oldPage, newPage, prot, '[heap]'));
    space.lockIfFuture(oldPage, newPage);
  }
  space.brkEnd = addr;
  return addr;
}

/**
 * Extend the mapping above `addr` down to it if that mapping grows down and the stack limit and the guard gap
 * allow it, as a page fault there does. True if memory is there now.
 */
export function growDown(space: SpaceState, addr: number): boolean {
  const page = Math.floor(addr / PAGE) * PAGE;
  const index = space.list.indexAbove(addr);
  const m = space.list.all[index];
  if (m === undefined || m.start <= addr) return m !== undefined;
  if (!m.growsDown || page < MIN_ADDRESS || m.end - page > space.limits.stack()) return false;
  const below = space.list.all[index - 1];
  // The gap is kept against anything accessible below that is not itself a growing mapping.
  if (below !== undefined && !below.growsDown && below.prot !== 0 && page - below.end < 0x100000) return false;
  if (space.mayGrow(m.start - page, true) < 0) return false;
  if (space.hostMap(page, m.start - page, hostProtection(m.prot), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) < 0) return false;
  space.list.insert({ ...m, start: page, end: m.start });
  return true;
}
