/**
 * The guest's address space: what is mapped where, and the memory system calls. Each guest thread has an `AddressSpace` of
 * its own; what one changes the others learn through `Sharing`, so that all of them always read the same.
 *
 * Invariants:
 * - Every host page of the range outside `entries()` is PROT_NONE and reserved, so that no host mapping can come to
 *   lie there and no guest access succeeds there. To unmap is to map PROT_NONE over it, in one call, without a hole.
 * - No host page is executable. A page the guest may execute is readable.
 * - [0, 64 KiB) is never mapped.
 * - The listener hears of every change to a range that the guest could execute, after it happened, whichever thread
 *   made it; and who made it goes on only when no other thread runs what was there before.
 *
 * Methods named after a system call return its result: ≥ 0, or −errno. Addresses and lengths are the guest's as
 * unsigned numbers; any value may come.
 */

import type { CodeListener, Host } from '../kernel/ports.ts';
import type { ListChange, Mapping } from './mapping.ts';
import * as contentsCalls from './contents-calls.ts';
import * as mapCalls from './map-calls.ts';
import { mremap } from './remap-calls.ts';
import * as shmCalls from './shm-calls.ts';
import { type SpaceLimits, type SpaceNumbers, SpaceState } from './space-state.ts';

export type { Backing, Mapping } from './mapping.ts';
export type { SpaceLimits } from './space-state.ts';

/** How the copies of several threads are kept equal (kernel/change-log.ts). */
export interface Sharing {
  /** To be called before anything is read. */
  sync(): void;
  /** Run what changes state as the only one. */
  change<T>(act: () => T): T;
  /** Tell the others, inside `change`. */
  append(record: SpaceRecord): void;
  /** Wait until no other thread runs code that it has not learnt to be gone. */
  settle(): void;
  /** A number nobody else in the process is given. */
  nextBacking(): number;
}

/** What one thread's copy tells another's. */
export type SpaceRecord = ListChange | { readonly numbers: SpaceNumbers } | { readonly code: readonly [number, number] };

export interface SpaceSnapshot {
  readonly mappings: readonly Mapping[];
  readonly numbers: SpaceNumbers;
}

let lastBacking = 0;
/** For a process of one thread that will stay so. */
const alone: Sharing = {
  sync: () => {},
  change: (act) => act(),
  append: () => {},
  settle: () => {},
  nextBacking: () => ++lastBacking,
};

export class AddressSpace {
  /** Bytes; the first address that is not the guest's. */
  readonly size: number;
  readonly #state: SpaceState;
  readonly #sharing: Sharing;
  #listener: CodeListener = { codeChanged: () => {} };
  #codeChanged = false;

  constructor(host: Host, sharing: Sharing = alone) {
    this.size = host.memorySize;
    this.#sharing = sharing;
    this.#state = new SpaceState(host, () => sharing.nextBacking());
    this.#state.list.onChange = (change) => sharing.append(change);
    this.#state.listener = {
      codeChanged: (start, end) => {
        this.#codeChanged = true;
        this.#listener.codeChanged(start, end);
        sharing.append({ code: [start, end] });
      },
    };
  }

  #read(): SpaceState {
    this.#sharing.sync();
    return this.#state;
  }

  #change<T>(act: (state: SpaceState) => T): T {
    const state = this.#state;
    this.#codeChanged = false;
    const result = this.#sharing.change(() => {
      const before = state.numbers;
      const value = act(state);
      const after = state.numbers;
      if ((Object.keys(after) as (keyof SpaceNumbers)[]).some((key) => after[key] !== before[key])) {
        this.#sharing.append({ numbers: after });
      }
      return value;
    });
    if (this.#codeChanged) this.#sharing.settle();
    return result;
  }

  // ---- what other threads tell

  snapshot(): SpaceSnapshot {
    return { mappings: [...this.#state.list.all], numbers: this.#state.numbers };
  }
  restore(snapshot: SpaceSnapshot): void {
    this.#state.list.apply({ take: [0, Number.MAX_SAFE_INTEGER] });
    for (const mapping of snapshot.mappings) this.#state.list.apply({ put: mapping });
    this.#state.numbers = snapshot.numbers;
    this.#listener.codeChanged(0, this.size);
  }
  apply(record: SpaceRecord): void {
    if ('numbers' in record) this.#state.numbers = record.numbers;
    else if ('code' in record) this.#listener.codeChanged(...record.code);
    else this.#state.list.apply(record);
  }

  // ---- queries

  /** The mapping that holds `addr`. */
  find(addr: number): Mapping | undefined {
    return this.#read().list.at(addr);
  }
  /** All mappings in ascending order. A live list: do not keep it over a change. */
  entries(): readonly Mapping[] {
    return this.#read().list.all;
  }
  /** PROT_ bits the guest has at `addr`; −1 if nothing is mapped there. */
  protAt(addr: number): number {
    return this.#read().list.at(addr)?.prot ?? -1;
  }
  /** True if all of [start, end) is mapped, whatever the protection. */
  isMapped(start: number, end: number): boolean {
    return this.#read().list.covers(start, end);
  }
  /** Bytes mapped in all (VmSize). */
  get mappedBytes(): number {
    return this.#read().list.bytes;
  }
  get mmapTop(): number {
    return this.#read().mmapTop;
  }
  /** Current program break. */
  get brkEnd(): number {
    return this.#read().brkEnd;
  }

  // ---- set-up by the loader and the composition root

  setCodeListener(listener: CodeListener): void {
    this.#listener = listener;
  }
  setLimits(limits: SpaceLimits): void {
    this.#state.limits = limits;
  }
  /** Where mappings without an address go: downwards from `top` (exclusive, page-aligned). */
  setMmapTop(top: number): void {
    this.#change((state) => {
      state.mmapTop = top;
    });
  }
  /** Let a file mapped from its beginning, at no address asked for, go where it always goes (placement.ts). */
  setFileHomes(on: boolean): void {
    this.#change((state) => {
      state.fileHomes = on;
    });
  }
  /** Start (and empty) the heap; page-rounded up by the caller or not, as the kernel's start_brk. */
  setBrk(start: number): void {
    this.#change((state) => state.setBrk(start));
  }
  /** Name a range for /proc/self/maps (`[stack]`; PR_SET_VMA_ANON_NAME as `[anon:…]`). */
  setName(start: number, end: number, name: string): void {
    this.#change((state) => state.setName(start, end, name));
  }
  /** Unmap everything, as execve does. */
  reset(): void {
    this.#change((state) => state.reset());
  }
  /** In the child of a fork: what MADV_DONTFORK keeps from it goes, and locks are not inherited. */
  afterFork(): void {
    this.#change((state) => state.afterFork());
  }
  /** Bytes of [start, end) were changed behind the guest's back. */
  contentsChanged(start: number, end: number): void {
    this.#change((state) => state.contentsChanged(start, end));
  }

  // ---- the system calls

  /** mmap(2). `hostFd` is the host's descriptor (any invalid one for a bad guest descriptor); ignored if anonymous. */
  mmap(addr: number, length: number, prot: number, flags: number, hostFd = -1, offset = 0): number {
    return this.#change((state) => mapCalls.mmap(state, addr, length, prot, flags, hostFd, offset));
  }
  munmap(addr: number, length: number): number {
    return this.#change((state) => mapCalls.munmap(state, addr, length));
  }
  mprotect(addr: number, length: number, prot: number): number {
    return this.#change((state) => mapCalls.mprotect(state, addr, length, prot));
  }
  /** brk(2) as the kernel has it: the new break, or the old one if it cannot be moved. */
  brk(addr: number): number {
    return this.#change((state) => mapCalls.brk(state, addr));
  }
  /**
   * Extend the mapping above `addr` down to it if that mapping grows down and the stack limit and the guard gap
   * allow it, as a page fault there does. True if memory is there now.
   */
  growDown(addr: number): boolean {
    return this.#change((state) => mapCalls.growDown(state, addr));
  }
  mremap(oldAddr: number, oldLength: number, newLength: number, flags: number, newAddr = 0): number {
    return this.#change((state) => mremap(state, oldAddr, oldLength, newLength, flags, newAddr));
  }
  msync(addr: number, length: number, flags: number): number {
    return contentsCalls.msync(this.#read(), addr, length, flags);
  }
  madvise(addr: number, length: number, what: number): number {
    return this.#change((state) => contentsCalls.madvise(state, addr, length, what));
  }
  /** `vector` is the host address of one byte per page. */
  mincore(addr: number, length: number, vector: number): number {
    return contentsCalls.mincore(this.#read(), addr, length, vector);
  }
  mlock(addr: number, length: number, flags = 0): number {
    return this.#change((state) => contentsCalls.mlock(state, addr, length, flags));
  }
  munlock(addr: number, length: number): number {
    return this.#change((state) => contentsCalls.munlock(state, addr, length));
  }
  mlockall(flags: number): number {
    return this.#change((state) => contentsCalls.mlockall(state, flags));
  }
  munlockall(): number {
    return this.#change((state) => contentsCalls.munlockall(state));
  }
  mseal(addr: number, length: number, flags: number): number {
    return this.#change((state) => contentsCalls.mseal(state, addr, length, flags));
  }
  /** remap_file_pages(2): the kernel's emulation of it, inside one shared file mapping. */
  remapFilePages(addr: number, length: number, prot: number, pageOffset: number, flags: number): number {
    return this.#change((state) => contentsCalls.remapFilePages(state, addr, length, prot, pageOffset, flags));
  }
  shmat(id: number, addr: number, flags: number): number {
    return this.#change((state) => shmCalls.shmat(state, id, addr, flags));
  }
  shmdt(addr: number): number {
    return this.#change((state) => shmCalls.shmdt(state, addr));
  }
}
