/** The calls about contents and residency: msync, madvise, mincore, the locks, mseal, remap_file_pages. */

import { madviseAdvice, mlockallFlags, mlockFlags, msyncFlags, protFlags } from '../abi/constants/memory.ts';
import { errno } from '../abi/errno.ts';
import { advised, misaligned, PAGE, wholePages } from './mapping.ts';
import type { SpaceState } from './space-state.ts';

const { PROT_WRITE, PROT_EXEC } = protFlags.values;
const { MS_ASYNC, MS_INVALIDATE, MS_SYNC } = msyncFlags.values;
const { MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT } = mlockallFlags.values;
const { MLOCK_ONFAULT } = mlockFlags.values;
const advice = madviseAdvice.values;

const adviceValues = new Set<number>(Object.values(advice).filter((v) => v !== advice.MADV_HWPOISON));
/** Advice after which the pages hold something else. */
const droppingAdvice = new Set<number>([
  advice.MADV_DONTNEED, advice.MADV_DONTNEED_LOCKED, advice.MADV_FREE, advice.MADV_REMOVE, advice.MADV_GUARD_INSTALL,
]);

export function msync(space: SpaceState, addr: number, length: number, flags: number): number {
  if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || misaligned(addr)) return -errno.EINVAL;
  if (flags & MS_ASYNC && flags & MS_SYNC) return -errno.EINVAL;
  const end = addr + wholePages(length);
  if (end > 2 ** 64) return -errno.ENOMEM;
  return space.forEachPart(addr, end, (m) => {
    if (flags & MS_INVALIDATE && m.locked) return -errno.EBUSY;
    return space.range.call('msync', m.start, m.end - m.start, flags);
  });
}

export function madvise(space: SpaceState, addr: number, length: number, what: number): number {
  if (!adviceValues.has(what) || misaligned(addr)) return -errno.EINVAL;
  const bytes = wholePages(length);
  if (length > 0 && (bytes === 0 || addr + bytes > 2 ** 64)) return -errno.EINVAL;
  const end = addr + bytes;
  const drops = droppingAdvice.has(what);
  if (drops && space.list.in(addr, end).some((m) => m.sealed && !(m.prot & PROT_WRITE) && !m.shared)) return -errno.EPERM;
  const populates = what === advice.MADV_POPULATE_READ || what === advice.MADV_POPULATE_WRITE;
  return space.forEachPart(addr, end, (m) => {
    // Forking is done with all of the range present; the child then drops what it must not have.
    const ours = what === advice.MADV_DONTFORK || what === advice.MADV_DOFORK;
    const result = ours ? 0 : space.range.call('madvise', m.start, m.end - m.start, what);
    if (result < 0) return result;
    const after = advised(m, what);
    if (after !== m) space.list.insert(after);
    if (drops && m.prot & PROT_EXEC) space.listener.codeChanged(m.start, m.end);
    return 0;
  }, populates);
}

/** `vector` is the host address of one byte per page. */
export function mincore(space: SpaceState, addr: number, length: number, vector: number): number {
  if (misaligned(addr)) return -errno.EINVAL;
  if (addr > space.size || length > space.size - addr) return -errno.ENOMEM;
  if (!space.list.covers(addr, addr + wholePages(length))) return -errno.ENOMEM;
  return space.range.call('mincore', addr, length, vector);
}

export function mlock(space: SpaceState, addr: number, length: number, flags = 0): number {
  if (flags & ~MLOCK_ONFAULT) return -errno.EINVAL;
  return setLocked(space, addr, length, true, flags);
}

export function munlock(space: SpaceState, addr: number, length: number): number {
  return setLocked(space, addr, length, false, 0);
}

export function mlockall(space: SpaceState, flags: number): number {
  if (flags === 0 || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags === MCL_ONFAULT) return -errno.EINVAL;
  const how = flags & MCL_ONFAULT ? MLOCK_ONFAULT : 0;
  if (flags & MCL_CURRENT) {
    for (const m of [...space.list.all]) {
      const result = space.range.call('mlock2', m.start, m.end - m.start, how);
      // What cannot be populated (PROT_NONE, past a file's end) is locked all the same.
      if (result < 0 && result !== -errno.ENOMEM && result !== -errno.EAGAIN) return result;
      space.list.update(m.start, m.end, (part) => ({ ...part, locked: true }));
    }
  }
  space.lockFuture = flags & MCL_FUTURE ? how : -1;
  return 0;
}

export function munlockall(space: SpaceState): number {
  space.lockFuture = -1;
  for (const m of [...space.list.all]) {
    if (!m.locked) continue;
    space.range.call('munlock', m.start, m.end - m.start);
    space.list.update(m.start, m.end, (part) => ({ ...part, locked: false }));
  }
  return 0;
}

export function mseal(space: SpaceState, addr: number, length: number, flags: number): number {
  if (flags !== 0 || misaligned(addr)) return -errno.EINVAL;
  const end = addr + wholePages(length);
  if (end > 2 ** 64) return -errno.EINVAL;
  if (end === addr) return 0;
  if (!space.list.covers(addr, end)) return -errno.ENOMEM;
  space.list.update(addr, end, (m) => ({ ...m, sealed: true }));
  return 0;
}

/** remap_file_pages(2): the kernel's emulation of it, inside one shared file mapping. */
export function remapFilePages(space: SpaceState, addr: number, length: number, prot: number, pageOffset: number, flags: number): number {
  const start = Math.floor(addr / PAGE) * PAGE;
  const bytes = Math.floor(length / PAGE) * PAGE;
  if (prot !== 0 || bytes === 0 || start + bytes > space.size) return -errno.EINVAL;
  const m = space.list.at(start);
  if (m === undefined || !m.shared || m.backing === undefined || !space.list.covers(start, start + bytes)) {
    return -errno.EINVAL;
  }
  const result = space.range.call('remap_file_pages', start, bytes, 0, pageOffset, flags);
  if (result < 0) return space.repair(start, bytes, result);
  space.codeGone(start, start + bytes);
  space.list.update(start, start + bytes, (part) => ({ ...part, offset: pageOffset * PAGE + (part.start - start) }));
  return result;
}

function setLocked(space: SpaceState, addr: number, length: number, locked: boolean, flags: number): number {
  const start = Math.floor(addr / PAGE) * PAGE;
  const end = start + wholePages(length + (addr - start));
  if (end > 2 ** 64) return -errno.EINVAL;
  if (end === start) return 0;
  return space.forEachPart(start, end, (m) => {
    const bytes = m.end - m.start;
    const result = locked ? space.range.call('mlock2', m.start, bytes, flags) : space.range.call('munlock', m.start, bytes);
    if (result >= 0 || result === -errno.ENOMEM) space.list.update(m.start, m.end, (part) => ({ ...part, locked }));
    return result;
  }, true);
}
