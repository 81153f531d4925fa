/**
 * What the memory system calls work on: the list of what is mapped where, the host's range, the break, the limits; and the parts
 * they have in common. The calls themselves are functions over it, by subject: map-calls.ts, remap-calls.ts,
 * contents-calls.ts, shm-calls.ts. They have the kernel's own semantics and errors. One caller at a time: `AddressSpace` sees to that.
 *
 * Functions named after a system call return its result: ≥ 0, or −errno. Addresses and lengths are the guest's as
 * unsigned numbers; any value may come.
 */

import { mapFlags, protFlags } from '../abi/constants/memory.ts';
import { errno } from '../abi/errno.ts';
import type { CodeListener, Host } from '../kernel/ports.ts';
import { HostRange } from './host-range.ts';
import { ADVICE_DONT_FORK, clip, type Mapping, MappingList, misaligned, wholePages } from './mapping.ts';
import { findBottomUp, findTopDown, isFree, MIN_ADDRESS } from './placement.ts';

const { PROT_WRITE, PROT_EXEC } = protFlags.values;
const { MAP_FIXED, MAP_32BIT, MAP_FIXED_NOREPLACE } = mapFlags.values;

/** Bytes kept above `mmapTop` for the stack, as mmap_base leaves room for it. */
const STACK_ROOM = 0x1000_0000;
/** MAP_32BIT: the second GiB, as on x86-64. */
const LOW_START = 0x4000_0000;
const LOW_END = 0x8000_0000;
const UNLIMITED = Number.POSITIVE_INFINITY;

/** The guest's own limits on its memory, in bytes. */
export interface SpaceLimits {
  /** RLIMIT_AS. */
  addressSpace(): number;
  /** RLIMIT_DATA: private writable memory. */
  data(): number;
  /** RLIMIT_STACK: how far a mapping may grow down. */
  stack(): number;
}

const noLimits: SpaceLimits = { addressSpace: () => UNLIMITED, data: () => UNLIMITED, stack: () => 0x80_0000 };

/** What of the state of `SpaceState` is not in the list. */
export interface SpaceNumbers {
  readonly fileHomes: boolean;
  readonly mmapTop: number;
  readonly brkStart: number;
  readonly brkEnd: number;
  readonly lockFuture: number;
}

export class SpaceState {
  /** Bytes; the first address that is not the guest's. */
  readonly size: number;
  readonly range: HostRange;
  readonly list = new MappingList();
  /** Hears of what was executable and is no more. */
  listener: CodeListener = { codeChanged: () => {} };
  /** Asked at every growth. */
  limits: SpaceLimits = noLimits;
  /** A file mapped from its beginning, at no address asked for, goes where it always goes (placement.ts). */
  fileHomes = false;
  /** Mappings the kernel chooses a place for go below this (exclusive, page-aligned). */
  mmapTop: number;
  brkStart = 0;
  /** Current program break. */
  brkEnd = 0;
  /** mlockall(MCL_FUTURE): flags for mlock2 of every new mapping; −1 when off. */
  lockFuture = -1;

  readonly nextBacking: () => number;

  /** `nextBacking`: a number nobody else in the process is given, for memory known by identity. */
  constructor(host: Host, nextBacking: () => number) {
    this.range = new HostRange(host);
    this.nextBacking = nextBacking;
    this.size = host.memorySize;
    this.mmapTop = this.size - Math.min(STACK_ROOM, this.size / 8);
  }

  // ---- for keeping copies equal

  get numbers(): SpaceNumbers {
    return { fileHomes: this.fileHomes, mmapTop: this.mmapTop, brkStart: this.brkStart, brkEnd: this.brkEnd, lockFuture: this.lockFuture };
  }
  set numbers(n: SpaceNumbers) {
    this.fileHomes = n.fileHomes;
    this.mmapTop = n.mmapTop;
    this.brkStart = n.brkStart;
    this.brkEnd = n.brkEnd;
    this.lockFuture = n.lockFuture;
  }
  // ---- for the loader and the composition root

  /** Start (and empty) the heap; page-rounded up by the caller or not, as the kernel's start_brk. */
  setBrk(start: number): void {
    this.brkStart = start;
    this.brkEnd = start;
  }

  /** Name a range for /proc/self/maps (`[stack]`; PR_SET_VMA_ANON_NAME as `[anon:…]`). */
  setName(start: number, end: number, name: string): void {
    this.list.update(start, end, (m) => ({ ...m, name }));
  }

  /** Unmap everything, as execve does. */
  reset(): void {
    this.range.close(0, this.size);
    this.list.clear();
    this.brkStart = 0;
    this.brkEnd = 0;
    this.lockFuture = -1;
    this.mmapTop = this.size - Math.min(STACK_ROOM, this.size / 8);
    this.listener.codeChanged(0, this.size);
  }

  /** In the child of a fork: what MADV_DONTFORK keeps from it goes, and locks are not inherited. */
  afterFork(): void {
    this.lockFuture = -1;
    for (const m of [...this.list.all]) {
      if (m.advice & ADVICE_DONT_FORK) this.unmap(m.start, m.end);
      else if (m.locked) this.list.update(m.start, m.end, (part) => ({ ...part, locked: false }));
    }
  }

  /** Bytes of [start, end) were changed behind the guest's back. */
  contentsChanged(start: number, end: number): void {
    this.codeGone(start, end);
  }

  // ---- parts of the calls

  /** A page-aligned address for `bytes` (page-rounded), by the rules of mmap for `flags`; or −errno. */
  place(addr: number, bytes: number, flags: number): number {
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
      if (bytes > this.size || addr > this.size - bytes) return -errno.ENOMEM;
      if (misaligned(addr)) return -errno.EINVAL;
      return addr < MIN_ADDRESS ? -errno.EPERM : addr;
    }
    if (bytes > this.size) return -errno.ENOMEM;
    const hint = addr === 0 ? 0 : Math.max(wholePages(addr), MIN_ADDRESS);
    const low = (flags & MAP_32BIT) !== 0;
    const limit = low ? LOW_END : this.size;
    if (hint !== 0 && hint <= limit - bytes && isFree(this.list, hint, bytes)) return hint;
    if (low) {
      const place = findBottomUp(this.list, bytes, LOW_START, Math.min(LOW_END, this.size));
      return place < 0 ? -errno.ENOMEM : place;
    }
    let place = findTopDown(this.list, bytes, this.mmapTop);
    if (place < 0) place = findBottomUp(this.list, bytes, MIN_ADDRESS, this.size);
    return place < 0 ? -errno.ENOMEM : place;
  }

  mayGrow(bytes: number, data: boolean): number {
    if (bytes <= 0) return 0;
    if (this.list.bytes + bytes > this.limits.addressSpace()) return -errno.ENOMEM;
    const limit = data ? this.limits.data() : UNLIMITED;
    if (limit === UNLIMITED) return 0;
    let used = bytes;
    for (const m of this.list.all) if (!m.shared && m.prot & PROT_WRITE && !m.growsDown) used += m.end - m.start;
    return used > limit ? -errno.ENOMEM : 0;
  }

  mappedIn(start: number, end: number): number {
    let bytes = 0;
    for (const m of this.list.in(start, end)) bytes += Math.min(m.end, end) - Math.max(m.start, start);
    return bytes;
  }

  sealedIn(start: number, end: number): boolean {
    return this.list.in(start, end).some((m) => m.sealed);
  }

  /** Tell the listener about every part of [start, end) that the guest could execute so far. */
  codeGone(start: number, end: number): void {
    for (const m of this.list.in(start, end)) {
      if (m.prot & PROT_EXEC) this.listener.codeChanged(Math.max(m.start, start), Math.min(m.end, end));
    }
  }

  unmap(start: number, end: number): number {
    const parts = this.list.in(start, end);
    const first = parts[0];
    const last = parts[parts.length - 1];
    if (first === undefined || last === undefined) return 0;
    const from = Math.max(first.start, start);
    const to = Math.min(last.end, end);
    const result = this.range.close(from, to);
    if (result < 0) return result;
    this.codeGone(from, to);
    this.list.remove(from, to);
    return 0;
  }

  /** Apply `act` to each mapped part; the first error ends it, holes are −ENOMEM (at once if `strict`) in the end. */
  forEachPart(start: number, end: number, act: (part: Mapping) => number, strict = false): number {
    let at = start;
    let result = 0;
    for (const m of this.list.in(start, end)) {
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

  lockIfFuture(start: number, end: number): void {
    if (this.lockFuture < 0) return;
    this.range.call('mlock2', start, end - start, this.lockFuture);
    this.list.update(start, end, (m) => ({ ...m, locked: true }));
  }

  // ---- the host

  /** mmap at a fixed guest address; 0 or −errno. */
  hostMap(addr: number, bytes: number, prot: number, flags: number, fd: number, offset: number): number {
    const result = this.range.map(addr, bytes, prot, flags, fd, offset);
    return result < 0 ? this.repair(addr, bytes, result) : 0;
  }

  /**
   * After a failed MAP_FIXED the kernel may already have unmapped what was there: forget the guest's mappings that
   * are gone.
   */
  repair(addr: number, bytes: number, error: number): number {
    if (this.range.fillHole(addr, bytes)) {
      this.codeGone(addr, addr + bytes);
      this.list.remove(addr, addr + bytes);
    }
    return error;
  }
}
