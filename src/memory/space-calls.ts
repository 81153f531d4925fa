/**
 * The memory system calls with the kernel's own semantics and errors, carried out on the host inside the guest's range, and
 * the list of what is mapped where that they keep. One caller at a time: `AddressSpace` sees to that.
 *
 * Methods named after a system call return its result: ≥ 0, or −errno. Addresses and lengths are the guest's as
 * unsigned numbers; any value may come.
 */

import {
  madviseAdvice, mapFlags, mlockallFlags, mlockFlags, mremapFlags, msyncFlags, protFlags,
} from '../abi/constants/memory.ts';
import { errno } from '../abi/errno.ts';
import type { CodeListener, Host } from '../kernel/ports.ts';
import { ADVICE_DONT_FORK, advised, type Backing, clip, HOST_MAP_FLAGS, hostProtection, type ListChange, type Mapping, MappingList, PAGE, sameBacking } from './mapping.ts';
import { HostRange } from './host-range.ts';
import { fileHome, findBottomUp, findTopDown, gapStart, isFree, MIN_ADDRESS } from './placement.ts';

const { PROT_READ, PROT_WRITE, PROT_EXEC, PROT_SEM, PROT_GROWSDOWN, PROT_GROWSUP } = protFlags.values;
const {
  MAP_FIXED, MAP_ANONYMOUS, MAP_32BIT, MAP_GROWSDOWN, MAP_LOCKED, MAP_NORESERVE, MAP_HUGETLB, MAP_FIXED_NOREPLACE,
} = mapFlags.values;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_SHARED_VALIDATE = 3;
const MAP_TYPE = 0xf;
const PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC;
const { MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP } = mremapFlags.values;
const { MS_ASYNC, MS_INVALIDATE, MS_SYNC } = msyncFlags.values;
const { MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT } = mlockallFlags.values;
const { MLOCK_ONFAULT } = mlockFlags.values;
const advice = madviseAdvice.values;

/** Bytes kept above `mmapTop` for the stack, as mmap_base leaves room for it. */
const STACK_ROOM = 0x1000_0000;
/** The guest has a say in where it goes. */
const PLACED = MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT;
/** MAP_32BIT: the second GiB, as on x86-64. */
const LOW_START = 0x4000_0000;
const LOW_END = 0x8000_0000;
const UNLIMITED = Number.POSITIVE_INFINITY;

/** The guest's own limits on its memory, in bytes. Asked at every growth. */
export interface SpaceLimits {
  /** RLIMIT_AS. */
  addressSpace(): number;
  /** RLIMIT_DATA: private writable memory. */
  data(): number;
  /** RLIMIT_STACK: how far a mapping may grow down. */
  stack(): number;
}

const noLimits: SpaceLimits = { addressSpace: () => UNLIMITED, data: () => UNLIMITED, stack: () => 0x80_0000 };

const up = (n: number): number => Math.ceil(n / PAGE) * PAGE;
const misaligned = (n: number): boolean => n % PAGE !== 0;

/** What of the state of `SpaceCalls` is not in the list. */
export interface SpaceNumbers {
  readonly fileHomes: boolean;
  readonly mmapTop: number;
  readonly brkStart: number;
  readonly brkEnd: number;
  readonly lockFuture: number;
}

export class SpaceCalls {
  /** Bytes; the first address that is not the guest's. */
  readonly size: number;
  readonly #range: HostRange;
  readonly #list = new MappingList();
  #listener: CodeListener = { codeChanged: () => {} };
  #limits: SpaceLimits = noLimits;
  /** Mappings the kernel chooses a place for go below this. */
  #fileHomes = false;
  #mmapTop: number;
  #brkStart = 0;
  #brkEnd = 0;
  /** mlockall(MCL_FUTURE): flags for mlock2 of every new mapping; −1 when off. */
  #lockFuture = -1;

  readonly #nextBacking: () => number;

  /** `nextBacking`: a number nobody else in the process is given, for memory known by identity. */
  constructor(host: Host, nextBacking: () => number) {
    this.#range = new HostRange(host);
    this.#nextBacking = nextBacking;
    this.size = host.memorySize;
    this.#mmapTop = this.size - Math.min(STACK_ROOM, this.size / 8);
  }

  // ---- for keeping copies equal

  get numbers(): SpaceNumbers {
    return { fileHomes: this.#fileHomes, mmapTop: this.#mmapTop, brkStart: this.#brkStart, brkEnd: this.#brkEnd, lockFuture: this.#lockFuture };
  }
  set numbers(n: SpaceNumbers) {
    this.#fileHomes = n.fileHomes;
    this.#mmapTop = n.mmapTop;
    this.#brkStart = n.brkStart;
    this.#brkEnd = n.brkEnd;
    this.#lockFuture = n.lockFuture;
  }
  set onChange(told: (change: ListChange) => void) {
    this.#list.onChange = told;
  }
  /** Enter a change that was made on the host already. */
  apply(change: ListChange): void {
    this.#list.apply(change);
  }

  // ---- queries

  /** The mapping that holds `addr`. */
  find(addr: number): Mapping | undefined {
    return this.#list.at(addr);
  }

  /** All mappings in ascending order. A live list: do not keep it over a change. */
  entries(): readonly Mapping[] {
    return this.#list.all;
  }

  /** PROT_ bits the guest has at `addr`; −1 if nothing is mapped there. */
  protAt(addr: number): number {
    return this.#list.at(addr)?.prot ?? -1;
  }

  /** True if all of [start, end) is mapped, whatever the protection. */
  isMapped(start: number, end: number): boolean {
    return this.#list.covers(start, end);
  }

  /** Bytes mapped in all (VmSize). */
  get mappedBytes(): number {
    return this.#list.bytes;
  }

  get mmapTop(): number {
    return this.#mmapTop;
  }

  /** Current program break. */
  get brkEnd(): number {
    return this.#brkEnd;
  }

  // ---- set-up by the loader and the composition root

  setCodeListener(listener: CodeListener): void {
    this.#listener = listener;
  }

  setLimits(limits: SpaceLimits): void {
    this.#limits = limits;
  }

  /** Where mappings without an address go: downwards from `top` (exclusive, page-aligned). */
  setMmapTop(top: number): void {
    this.#mmapTop = top;
  }

  /** Let a file mapped from its beginning, at no address asked for, go where it always goes (placement.ts). */
  setFileHomes(on: boolean): void {
    this.#fileHomes = on;
  }

  /** Start (and empty) the heap; page-rounded up by the caller or not, as the kernel's start_brk. */
  setBrk(start: number): void {
    this.#brkStart = start;
    this.#brkEnd = start;
  }

  /** Name a range for /proc/self/maps (`[stack]`; PR_SET_VMA_ANON_NAME as `[anon:…]`). */
  setName(start: number, end: number, name: string): void {
    this.#list.update(start, end, (m) => ({ ...m, name }));
  }

  /** Unmap everything, as execve does. */
  reset(): void {
    this.#range.close(0, this.size);
    this.#list.clear();
    this.#brkStart = 0;
    this.#brkEnd = 0;
    this.#lockFuture = -1;
    this.#mmapTop = this.size - Math.min(STACK_ROOM, this.size / 8);
    this.#listener.codeChanged(0, this.size);
  }

  /** In the child of a fork: what MADV_DONTFORK keeps from it goes, and locks are not inherited. */
  afterFork(): void {
    this.#lockFuture = -1;
    for (const m of [...this.#list.all]) {
      if (m.advice & ADVICE_DONT_FORK) this.#unmap(m.start, m.end);
      else if (m.locked) this.#list.update(m.start, m.end, (part) => ({ ...part, locked: false }));
    }
  }

  /** Bytes of [start, end) were changed behind the guest's back. */
  contentsChanged(start: number, end: number): void {
    this.#codeGone(start, end);
  }

  // ---- mmap, munmap, mprotect, brk

  /** mmap(2). `hostFd` is the host's descriptor (any invalid one for a bad guest descriptor); ignored if anonymous. */
  mmap(addr: number, length: number, prot: number, flags: number, hostFd = -1, offset = 0): number {
    if (misaligned(offset)) return -errno.EINVAL;
    const anonymous = (flags & MAP_ANONYMOUS) !== 0;
    let backing: Backing | undefined;
    if (!anonymous) {
      const file = this.#range.describe(hostFd, (flags & MAP_TYPE) !== MAP_PRIVATE);
      if (typeof file === 'number') return file;
      backing = file;
      // Only files of hugetlbfs may be mapped so; the engine does not have its pages.
      if (flags & MAP_HUGETLB) return -errno.EINVAL;
    } else if (flags & MAP_HUGETLB) return -errno.ENOMEM;
    if (length === 0) return -errno.EINVAL;
    const bytes = up(length);
    if (bytes > this.size) return -errno.ENOMEM;
    // A reservation to make a heap in. Who asks for that much takes less when refused, and GHC's run-time system, which
    // wants its heap above 8 GiB, would ask for ever where more than the upper half is granted lower down.
    if (anonymous && prot === 0 && flags & MAP_NORESERVE && bytes > this.size / 2) return -errno.ENOMEM;

    let place = -1;
    if (this.#fileHomes && addr === 0 && offset === 0 && backing?.kind === 'file' && (flags & MAP_TYPE) === MAP_PRIVATE) {
      place = fileHome(backing.dev, backing.inode, bytes, this.size);
      if (place >= 0 && !isFree(this.#list, place, bytes)) place = -1;
    }
    if (place < 0 || (flags & PLACED) !== 0) place = this.#place(addr, bytes, flags);
    if (place < 0) return place;
    if (flags & MAP_FIXED_NOREPLACE && this.#list.in(place, place + bytes).length > 0) return -errno.EEXIST;

    const type = flags & MAP_TYPE;
    const shared = type === MAP_SHARED || type === MAP_SHARED_VALIDATE;
    if (!shared && type !== MAP_PRIVATE) return -errno.EINVAL;
    if (anonymous && type === MAP_SHARED_VALIDATE) return -errno.EINVAL;
    const growsDown = (flags & MAP_GROWSDOWN) !== 0;
    if (growsDown && (!anonymous || shared)) return -errno.EINVAL;
    if (anonymous && shared) backing = { kind: 'shared-anonymous', path: '/dev/zero (deleted)', dev: 0, inode: 0, id: this.#nextBacking(), writable: true };
    if (!anonymous && prot & PROT_EXEC && this.#range.mountedNoExec(hostFd)) return -errno.EPERM;
    if (this.#sealedIn(place, place + bytes)) return -errno.EPERM;
    const refusal = this.#mayGrow(bytes - this.#mappedIn(place, place + bytes), !shared && (prot & PROT_WRITE) !== 0);
    if (refusal < 0) return refusal;

    const result = this.#hostMap(place, bytes, hostProtection(prot), flags & HOST_MAP_FLAGS, anonymous ? -1 : hostFd, anonymous ? 0 : offset);
    if (result < 0) return result;
    const end = place + bytes;
    this.#codeGone(place, end);
    this.#list.insert({
      start: place, end, prot: prot & PROT_ALL, shared, backing, offset: anonymous ? 0 : offset, name: '', growsDown,
      noReserve: (flags & MAP_NORESERVE) !== 0, locked: (flags & MAP_LOCKED) !== 0, advice: 0, sealed: false,
    });
    this.#lockIfFuture(place, end);
    return place;
  }

  munmap(addr: number, length: number): number {
    if (misaligned(addr) || addr > this.size || length > this.size - addr) return -errno.EINVAL;
    if (length === 0) return -errno.EINVAL;
    const end = addr + up(length);
    if (this.#sealedIn(addr, end)) return -errno.EPERM;
    return this.#unmap(addr, end);
  }

  mprotect(addr: number, length: number, prot: number): number {
    const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
    if (grows === (PROT_GROWSDOWN | PROT_GROWSUP)) return -errno.EINVAL;
    if (misaligned(addr)) return -errno.EINVAL;
    if (length === 0) return 0;
    const bytes = up(length);
    if (addr + bytes > 2 ** 64) return -errno.ENOMEM;
    const end = addr + bytes;
    if (prot & ~(PROT_ALL | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP)) return -errno.EINVAL;
    const first = this.#list.above(addr);
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
    for (const m of this.#list.in(start, end)) {
      if (m.start > at) return -errno.ENOMEM;
      const part = clip(m, start, end);
      if (m.sealed) return -errno.EPERM;
      if (part.prot !== (prot & PROT_ALL)) {
        const result = this.#range.call('mprotect', part.start, part.end - part.start, hostProtection(prot));
        if (result < 0) return result;
        if (part.prot & PROT_EXEC) this.#listener.codeChanged(part.start, part.end);
        this.#list.insert({ ...part, prot: prot & PROT_ALL });
      }
      at = m.end;
    }
    return at < end ? -errno.ENOMEM : 0;
  }

  /** brk(2) as the kernel has it: the new break, or the old one if it cannot be moved. */
  brk(addr: number): number {
    if (this.#brkStart === 0 || addr < this.#brkStart || addr > this.size) return this.#brkEnd;
    const oldPage = up(this.#brkEnd);
    const newPage = up(addr);
    if (newPage < oldPage) {
      if (this.#sealedIn(newPage, oldPage) || this.#unmap(newPage, oldPage) < 0) return this.#brkEnd;
    } else if (newPage > oldPage) {
      if (addr - this.#brkStart > this.#limits.data()) return this.#brkEnd;
      const next = this.#list.above(oldPage);
      if (next !== undefined && newPage + PAGE > gapStart(next)) return this.#brkEnd;
      if (this.#mayGrow(newPage - oldPage, true) < 0) return this.#brkEnd;
      const prot = PROT_READ | PROT_WRITE;
      if (this.#hostMap(oldPage, newPage - oldPage, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) < 0) return this.#brkEnd;
      this.#list.insert(anonymousMapping(oldPage, newPage, prot, '[heap]'));
      this.#lockIfFuture(oldPage, newPage);
    }
    this.#brkEnd = addr;
    return addr;
  }

  /**
   * Extend the mapping above `addr` down to it if that mapping grows down and the stack limit and the guard gap
   * allow it, as a page fault there does. True if memory is there now.
   */
  growDown(addr: number): boolean {
    const page = Math.floor(addr / PAGE) * PAGE;
    const index = this.#list.indexAbove(addr);
    const m = this.#list.all[index];
    if (m === undefined || m.start <= addr) return m !== undefined;
    if (!m.growsDown || page < MIN_ADDRESS || m.end - page > this.#limits.stack()) return false;
    const below = this.#list.all[index - 1];
    // The gap is kept against anything accessible below that is not itself a growing mapping.
    if (below !== undefined && !below.growsDown && below.prot !== 0 && page - below.end < 0x100000) return false;
    if (this.#mayGrow(m.start - page, true) < 0) return false;
    if (this.#hostMap(page, m.start - page, hostProtection(m.prot), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) < 0) return false;
    this.#list.insert({ ...m, start: page, end: m.start });
    return true;
  }

  // ---- mremap (the order of checks, and moves of several mappings at once, are those of Linux 6.17)

  mremap(oldAddr: number, oldLength: number, newLength: number, flags: number, newAddr = 0): number {
    const oldBytes = up(oldLength);
    const bytes = up(newLength);
    const mayMove = (flags & MREMAP_MAYMOVE) !== 0;
    const fixed = (flags & MREMAP_FIXED) !== 0;
    const keep = (flags & MREMAP_DONTUNMAP) !== 0;
    if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) return -errno.EINVAL;
    if (misaligned(oldAddr) || bytes === 0 || bytes > this.size) return -errno.EINVAL;
    if (!fixed && !keep) return this.#resize(oldAddr, oldBytes, bytes, mayMove);

    if (newAddr > this.size - bytes || misaligned(newAddr)) return -errno.EINVAL;
    if ((keep && oldBytes !== bytes) || !mayMove) return -errno.EINVAL;
    if (oldAddr + oldBytes > newAddr && newAddr + bytes > oldAddr) return -errno.EINVAL;
    if (!fixed || oldBytes !== bytes) return this.#moveTo(oldAddr, oldBytes, newAddr, bytes, fixed, keep);

    // One size and a given place: all mappings of the range move, and the gaps between them stay gaps.
    let result = -errno.EFAULT;
    for (const m of this.#list.in(oldAddr, oldAddr + oldBytes)) {
      const part = clip(m, oldAddr, oldAddr + oldBytes);
      if (result < 0 && part.start > oldAddr) return -errno.EFAULT;
      const length = part.end - part.start;
      const moved = this.#moveTo(part.start, length, newAddr + (part.start - oldAddr), length, true, keep);
      if (moved < 0) return moved;
      if (result < 0) result = moved;
    }
    return result;
  }

  /** mremap to another place: a given one (whatever is there goes) or, to keep the old range mapped, a free one. */
  #moveTo(oldAddr: number, oldBytes: number, newAddr: number, bytes: number, fixed: boolean, keep: boolean): number {
    const m = this.#list.at(oldAddr);
    if (m === undefined) return -errno.EFAULT;
    if (m.sealed) return -errno.EPERM;
    const refusal = this.#mayResize(m, oldAddr, oldBytes, bytes, keep);
    if (refusal < 0) return refusal;
    if (fixed) {
      if (newAddr < MIN_ADDRESS) return -errno.EPERM;
      if (this.#sealedIn(newAddr, newAddr + bytes)) return -errno.EPERM;
      const result = this.#unmap(newAddr, newAddr + bytes);
      if (result < 0) return result;
    }
    if (oldBytes > bytes) {
      const result = this.#unmap(oldAddr + bytes, oldAddr + oldBytes);
      if (result < 0) return result;
    }
    // Making room may have taken the source itself (old size 0) away.
    const source = this.#list.at(oldAddr);
    if (source === undefined) return -errno.EFAULT;
    const place = fixed ? newAddr : this.#place(newAddr, bytes, 0);
    return place < 0 ? place : this.#move(source, oldAddr, Math.min(oldBytes, bytes), place, bytes, keep);
  }

  /** mremap without a place: shrink or grow where it is, or move if it must and may. */
  #resize(start: number, oldBytes: number, bytes: number, mayMove: boolean): number {
    const m = this.#list.at(start);
    if (m === undefined) return -errno.EFAULT;
    if (m.sealed) return -errno.EPERM;
    if (oldBytes >= bytes) {
      if (oldBytes === bytes) return start;
      if (start + oldBytes > this.size) return -errno.EINVAL;
      if (this.#sealedIn(start + bytes, start + oldBytes)) return -errno.EPERM;
      const result = this.#unmap(start + bytes, start + oldBytes);
      return result < 0 ? result : start;
    }
    const refusal = this.#mayResize(m, start, oldBytes, bytes, false);
    if (refusal < 0) return refusal;
    if (oldBytes > 0 && start + oldBytes === m.end) {
      const end = start + bytes;
      const next = this.#list.above(m.end);
      if (end <= this.size && (next === undefined || end <= next.start)) return this.#extend(m, start, oldBytes, bytes);
    }
    if (!mayMove) return -errno.ENOMEM;
    const place = this.#place(0, bytes, 0);
    return place < 0 ? place : this.#move(m, start, oldBytes, place, bytes, false);
  }

  /** The checks of growing or moving [oldAddr, oldAddr+oldBytes), which begins in `m`. */
  #mayResize(m: Mapping, oldAddr: number, oldBytes: number, bytes: number, keep: boolean): number {
    if (oldBytes === 0 && (!m.shared || m.backing === undefined)) return -errno.EINVAL;
    // What will be cut off may lie in other mappings, what stays may not.
    if (Math.min(oldBytes, bytes) > m.end - oldAddr) return -errno.EFAULT;
    if (bytes > this.size) return -errno.ENOMEM;
    const growth = keep || oldBytes === 0 ? bytes : bytes - oldBytes;
    return this.#mayGrow(Math.max(0, growth), !m.shared && (m.prot & PROT_WRITE) !== 0);
  }

  /** Grow in place; the pages behind are free. */
  #extend(m: Mapping, start: number, oldBytes: number, bytes: number): number {
    const from = start + oldBytes;
    if (m.backing === undefined) {
      const reserve = m.noReserve ? MAP_NORESERVE : 0;
      const flags = MAP_PRIVATE | MAP_ANONYMOUS | reserve | (m.locked ? MAP_LOCKED : 0);
      const result = this.#hostMap(from, bytes - oldBytes, hostProtection(m.prot), flags, -1, 0);
      if (result < 0) return result;
    } else {
      // Only the kernel still knows the file: take the mapping aside, and bring it back longer.
      const aside = this.#range.moveAside(start, oldBytes);
      if (aside < 0) return aside;
      const result = this.#range.remap(aside, oldBytes, this.#range.base + start, bytes);
      if (result < 0) {
        this.#range.remap(aside, oldBytes, this.#range.base + start, oldBytes);
        return result;
      }
    }
    this.#list.insert({ ...clip(m, start, from), end: start + bytes });
    return start;
  }

  /** Move to `place`, which is free, and change the size; `keep` leaves the old range mapped, empty. */
  #move(m: Mapping, start: number, oldBytes: number, place: number, bytes: number, keep: boolean): number {
    const base = this.#range.base;
    const end = start + oldBytes;
    const moved: Mapping = { ...clip(m, start, Math.max(end, start + PAGE)), start: place, end: place + bytes };
    if (oldBytes === 0) {
      // A second view of shared memory: the kernel's own meaning of old size 0.
      const result = this.#range.remap(base + start, 0, base + place, bytes);
      if (result < 0) return this.#repair(place, bytes, result);
      this.#list.insert(moved);
      return place;
    }
    if (m.backing === undefined) {
      let result = this.#range.remapKeeping(start, oldBytes, base + place);
      if (result >= 0 && bytes > oldBytes) {
        const flags = MAP_PRIVATE | MAP_ANONYMOUS | (m.noReserve ? MAP_NORESERVE : 0) | (m.locked ? MAP_LOCKED : 0);
        result = this.#hostMap(place + oldBytes, bytes - oldBytes, hostProtection(m.prot), flags, -1, 0);
        if (result < 0) {
          this.#range.remapKeeping(place, oldBytes, base + start);
          this.#range.close(place, place + bytes);
          return result;
        }
      }
      if (result < 0) return this.#repair(place, bytes, result);
    } else {
      const aside = this.#range.moveAside(start, oldBytes);
      if (aside < 0) return aside;
      const result = this.#range.remap(aside, oldBytes, base + place, bytes);
      if (result < 0) {
        this.#range.remap(aside, oldBytes, base + start, oldBytes);
        return this.#repair(place, bytes, result);
      }
    }
    this.#codeGone(start, end);
    if (keep) this.#list.update(start, end, (part) => ({ ...part, locked: false }));
    else {
      this.#range.close(start, end);
      this.#list.remove(start, end);
    }
    this.#list.insert(moved);
    return place;
  }

  // ---- contents and residency

  msync(addr: number, length: number, flags: number): number {
    if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || misaligned(addr)) return -errno.EINVAL;
    if (flags & MS_ASYNC && flags & MS_SYNC) return -errno.EINVAL;
    const end = addr + up(length);
    if (end > 2 ** 64) return -errno.ENOMEM;
    return this.#forEachPart(addr, end, (m) => {
      if (flags & MS_INVALIDATE && m.locked) return -errno.EBUSY;
      return this.#range.call('msync', m.start, m.end - m.start, flags);
    });
  }

  madvise(addr: number, length: number, what: number): number {
    if (!adviceValues.has(what) || misaligned(addr)) return -errno.EINVAL;
    const bytes = up(length);
    if (length > 0 && (bytes === 0 || addr + bytes > 2 ** 64)) return -errno.EINVAL;
    const end = addr + bytes;
    const drops = droppingAdvice.has(what);
    if (drops && this.#list.in(addr, end).some((m) => m.sealed && !(m.prot & PROT_WRITE) && !m.shared)) return -errno.EPERM;
    const populates = what === advice.MADV_POPULATE_READ || what === advice.MADV_POPULATE_WRITE;
    return this.#forEachPart(addr, end, (m) => {
      // Forking is done with all of the range present; the child then drops what it must not have.
      const ours = what === advice.MADV_DONTFORK || what === advice.MADV_DOFORK;
      const result = ours ? 0 : this.#range.call('madvise', m.start, m.end - m.start, what);
      if (result < 0) return result;
      const after = advised(m, what);
      if (after !== m) this.#list.insert(after);
      if (drops && m.prot & PROT_EXEC) this.#listener.codeChanged(m.start, m.end);
      return 0;
    }, populates);
  }

  /** `vector` is the host address of one byte per page. */
  mincore(addr: number, length: number, vector: number): number {
    if (misaligned(addr)) return -errno.EINVAL;
    if (addr > this.size || length > this.size - addr) return -errno.ENOMEM;
    if (!this.#list.covers(addr, addr + up(length))) return -errno.ENOMEM;
    return this.#range.call('mincore', addr, length, vector);
  }

  mlock(addr: number, length: number, flags = 0): number {
    if (flags & ~MLOCK_ONFAULT) return -errno.EINVAL;
    return this.#setLocked(addr, length, true, flags);
  }

  munlock(addr: number, length: number): number {
    return this.#setLocked(addr, length, false, 0);
  }

  mlockall(flags: number): number {
    if (flags === 0 || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags === MCL_ONFAULT) return -errno.EINVAL;
    const how = flags & MCL_ONFAULT ? MLOCK_ONFAULT : 0;
    if (flags & MCL_CURRENT) {
      for (const m of [...this.#list.all]) {
        const result = this.#range.call('mlock2', m.start, m.end - m.start, how);
        // What cannot be populated (PROT_NONE, past a file's end) is locked all the same.
        if (result < 0 && result !== -errno.ENOMEM && result !== -errno.EAGAIN) return result;
        this.#list.update(m.start, m.end, (part) => ({ ...part, locked: true }));
      }
    }
    this.#lockFuture = flags & MCL_FUTURE ? how : -1;
    return 0;
  }

  munlockall(): number {
    this.#lockFuture = -1;
    for (const m of [...this.#list.all]) {
      if (!m.locked) continue;
      this.#range.call('munlock', m.start, m.end - m.start);
      this.#list.update(m.start, m.end, (part) => ({ ...part, locked: false }));
    }
    return 0;
  }

  mseal(addr: number, length: number, flags: number): number {
    if (flags !== 0 || misaligned(addr)) return -errno.EINVAL;
    const end = addr + up(length);
    if (end > 2 ** 64) return -errno.EINVAL;
    if (end === addr) return 0;
    if (!this.#list.covers(addr, end)) return -errno.ENOMEM;
    this.#list.update(addr, end, (m) => ({ ...m, sealed: true }));
    return 0;
  }

  /** remap_file_pages(2): the kernel's emulation of it, inside one shared file mapping. */
  remapFilePages(addr: number, length: number, prot: number, pageOffset: number, flags: number): number {
    const start = Math.floor(addr / PAGE) * PAGE;
    const bytes = Math.floor(length / PAGE) * PAGE;
    if (prot !== 0 || bytes === 0 || start + bytes > this.size) return -errno.EINVAL;
    const m = this.#list.at(start);
    if (m === undefined || !m.shared || m.backing === undefined || !this.#list.covers(start, start + bytes)) {
      return -errno.EINVAL;
    }
    const result = this.#range.call('remap_file_pages', start, bytes, 0, pageOffset, flags);
    if (result < 0) return this.#repair(start, bytes, result);
    this.#codeGone(start, start + bytes);
    this.#list.update(start, start + bytes, (part) => ({ ...part, offset: pageOffset * PAGE + (part.start - start) }));
    return result;
  }

  // ---- System V shared memory

  shmat(id: number, addr: number, flags: number): number {
    const SHM_RDONLY = 0o10000;
    const SHM_RND = 0o20000;
    const SHM_REMAP = 0o40000;
    const SHM_EXEC = 0o100000;
    const bytes = this.#range.shmSize(id);
    if (bytes < 0) return bytes;
    let place = addr;
    if (addr !== 0) {
      if (misaligned(addr)) {
        if (!(flags & SHM_RND)) return -errno.EINVAL;
        place = Math.floor(addr / PAGE) * PAGE;
        if (place === 0 && flags & SHM_REMAP) return -errno.EINVAL;
      }
    } else if (flags & SHM_REMAP) return -errno.EINVAL;
    if (place !== 0) {
      if (place > this.size - bytes) return -errno.EINVAL;
      if (place < MIN_ADDRESS) return -errno.EPERM;
      if (!(flags & SHM_REMAP) && this.#list.in(place, place + bytes).length > 0) return -errno.EINVAL;
      if (this.#sealedIn(place, place + bytes)) return -errno.EPERM;
    } else {
      place = this.#place(0, bytes, 0);
      if (place < 0) return place;
    }
    const result = this.#range.attach(id, place, (flags & ~(SHM_RND | SHM_EXEC)) | SHM_REMAP);
    if (result < 0) return this.#repair(place, bytes, result);
    this.#codeGone(place, place + bytes);
    const prot = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
    const backing: Backing = { kind: 'sysv', path: `/SYSV (shmid ${id})`, dev: 0, inode: id, id: this.#nextBacking(), writable: true };
    this.#list.insert({ ...anonymousMapping(place, place + bytes, prot, ''), shared: true, backing });
    return place;
  }

  shmdt(addr: number): number {
    const first = this.#list.at(addr);
    if (misaligned(addr) || first?.backing?.kind !== 'sysv' || first.start - first.offset !== addr) return -errno.EINVAL;
    const backing = first.backing;
    // All that is left of this attachment, which the guest may have cut or unmapped in part.
    for (const m of [...this.#list.all]) {
      if (sameBacking(m.backing, backing) && m.start - m.offset === addr) this.#unmap(m.start, m.end);
    }
    return 0;
  }

  // ---- parts

  /** A page-aligned address for `bytes` (page-rounded), by the rules of mmap for `flags`; or −errno. */
  #place(addr: number, bytes: number, flags: number): number {
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
      if (bytes > this.size || addr > this.size - bytes) return -errno.ENOMEM;
      if (misaligned(addr)) return -errno.EINVAL;
      return addr < MIN_ADDRESS ? -errno.EPERM : addr;
    }
    if (bytes > this.size) return -errno.ENOMEM;
    const hint = addr === 0 ? 0 : Math.max(up(addr), MIN_ADDRESS);
    const low = (flags & MAP_32BIT) !== 0;
    const limit = low ? LOW_END : this.size;
    if (hint !== 0 && hint <= limit - bytes && isFree(this.#list, hint, bytes)) return hint;
    if (low) {
      const place = findBottomUp(this.#list, bytes, LOW_START, Math.min(LOW_END, this.size));
      return place < 0 ? -errno.ENOMEM : place;
    }
    let place = findTopDown(this.#list, bytes, this.#mmapTop);
    if (place < 0) place = findBottomUp(this.#list, bytes, MIN_ADDRESS, this.size);
    return place < 0 ? -errno.ENOMEM : place;
  }

  #mayGrow(bytes: number, data: boolean): number {
    if (bytes <= 0) return 0;
    if (this.#list.bytes + bytes > this.#limits.addressSpace()) return -errno.ENOMEM;
    const limit = data ? this.#limits.data() : UNLIMITED;
    if (limit === UNLIMITED) return 0;
    let used = bytes;
    for (const m of this.#list.all) if (!m.shared && m.prot & PROT_WRITE && !m.growsDown) used += m.end - m.start;
    return used > limit ? -errno.ENOMEM : 0;
  }

  #mappedIn(start: number, end: number): number {
    let bytes = 0;
    for (const m of this.#list.in(start, end)) bytes += Math.min(m.end, end) - Math.max(m.start, start);
    return bytes;
  }

  #sealedIn(start: number, end: number): boolean {
    return this.#list.in(start, end).some((m) => m.sealed);
  }

  /** Tell the listener about every part of [start, end) that the guest could execute so far. */
  #codeGone(start: number, end: number): void {
    for (const m of this.#list.in(start, end)) {
      if (m.prot & PROT_EXEC) this.#listener.codeChanged(Math.max(m.start, start), Math.min(m.end, end));
    }
  }

  #unmap(start: number, end: number): number {
    const parts = this.#list.in(start, end);
    const first = parts[0];
    const last = parts[parts.length - 1];
    if (first === undefined || last === undefined) return 0;
    const from = Math.max(first.start, start);
    const to = Math.min(last.end, end);
    const result = this.#range.close(from, to);
    if (result < 0) return result;
    this.#codeGone(from, to);
    this.#list.remove(from, to);
    return 0;
  }

  /** Apply `act` to each mapped part; the first error ends it, holes are −ENOMEM (at once if `strict`) in the end. */
  #forEachPart(start: number, end: number, act: (part: Mapping) => number, strict = false): number {
    let at = start;
    let result = 0;
    for (const m of this.#list.in(start, end)) {
      if (m.start > at) {
        if (strict) return -errno.ENOMEM;
        result = -errno.ENOMEM;
      }
      const done = act(clip(m, start, end));
      if (done < 0) return done;
      at = m.end;
    }
    return at < end ? -errno.ENOMEM : result;
  }

  #setLocked(addr: number, length: number, locked: boolean, flags: number): number {
    const start = Math.floor(addr / PAGE) * PAGE;
    const end = start + up(length + (addr - start));
    if (end > 2 ** 64) return -errno.EINVAL;
    if (end === start) return 0;
    return this.#forEachPart(start, end, (m) => {
      const bytes = m.end - m.start;
      const result = locked ? this.#range.call('mlock2', m.start, bytes, flags) : this.#range.call('munlock', m.start, bytes);
      if (result >= 0 || result === -errno.ENOMEM) this.#list.update(m.start, m.end, (part) => ({ ...part, locked }));
      return result;
    }, true);
  }

  #lockIfFuture(start: number, end: number): void {
    if (this.#lockFuture < 0) return;
    this.#range.call('mlock2', start, end - start, this.#lockFuture);
    this.#list.update(start, end, (m) => ({ ...m, locked: true }));
  }

  // ---- the host

  /** mmap at a fixed guest address; 0 or −errno. */
  #hostMap(addr: number, bytes: number, prot: number, flags: number, fd: number, offset: number): number {
    const result = this.#range.map(addr, bytes, prot, flags, fd, offset);
    return result < 0 ? this.#repair(addr, bytes, result) : 0;
  }

  /**
   * After a failed MAP_FIXED the kernel may already have unmapped what was there: forget the guest's mappings that
   * are gone.
   */
  #repair(addr: number, bytes: number, error: number): number {
    if (this.#range.fillHole(addr, bytes)) {
      this.#codeGone(addr, addr + bytes);
      this.#list.remove(addr, addr + bytes);
    }
    return error;
  }
}

function anonymousMapping(start: number, end: number, prot: number, name: string): Mapping {
  return {
    start, end, prot, shared: false, backing: undefined, offset: 0, name, growsDown: false, noReserve: false,
    locked: false, advice: 0, sealed: false,
  };
}

const adviceValues = new Set<number>(Object.values(advice).filter((v) => v !== advice.MADV_HWPOISON));
/** Advice after which the pages hold something else. */
const droppingAdvice = new Set<number>([
  advice.MADV_DONTNEED, advice.MADV_DONTNEED_LOCKED, advice.MADV_FREE, advice.MADV_REMOVE, advice.MADV_GUARD_INSTALL,
]);
