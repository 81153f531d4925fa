/**
 * One mapping of the guest, and the sorted list of all of them. Invariants of the list: ascending, no overlap, all
 * bounds page-aligned, neighbours that could be one mapping are one (as the kernel keeps them, so that
 * /proc/self/maps reads the same). Mappings are immutable; changing one replaces it.
 */

import { madviseAdvice, mapFlags, protFlags } from '../abi/constants/memory.ts';

export const PAGE = 4096;
export const wholePages = (n: number): number => Math.ceil(n / PAGE) * PAGE;
export const misaligned = (n: number): boolean => n % PAGE !== 0;

/** What a mapping shows besides zeroes. Compared by value: by file, or by `id` where there is none. */
export interface Backing {
  readonly kind: 'file' | 'shared-anonymous' | 'sysv';
  /** As the kernel names it in /proc/self/maps; empty if unknown. */
  readonly path: string;
  readonly dev: number;
  readonly inode: number;
  /** What tells memory that has no file from other such memory; 0 for files. */
  readonly id: number;
  /** Opened for writing; only known (and only of interest) where the mapping is shared. */
  readonly writable: boolean;
}

export interface Mapping {
  readonly start: number;
  readonly end: number;
  /** PROT_READ | PROT_WRITE | PROT_EXEC as the guest asked for. */
  readonly prot: number;
  readonly shared: boolean;
  /** Undefined: private anonymous memory. */
  readonly backing: Backing | undefined;
  /** Offset in `backing` of `start`, in bytes. */
  readonly offset: number;
  /** What /proc/self/maps calls it when nothing backs it: `[heap]`, `[stack]`, or a name set by prctl. */
  readonly name: string;
  readonly growsDown: boolean;
  readonly noReserve: boolean;
  readonly locked: boolean;
  /** What madvise has said that lasts: ADVICE_ bits. It divides mappings as the kernel's flags do. */
  readonly advice: number;
  /** mseal: its place and protection are final. */
  readonly sealed: boolean;
}

const { values: madv } = madviseAdvice;
/** MADV_DONTFORK: the child of a fork does not have the mapping. */
export const ADVICE_DONT_FORK = 1;
const ADVICE_RANDOM = 2;
const ADVICE_SEQUENTIAL = 4;
const ADVICE_DONT_DUMP = 8;
const ADVICE_MERGEABLE = 16;
const ADVICE_HUGE = 32;
const ADVICE_NOT_HUGE = 64;
const ADVICE_WIPE = 128;
/** Bits that a kind of advice clears and sets. */
const lasting = new Map<number, readonly [clear: number, set: number]>([
  [madv.MADV_NORMAL, [ADVICE_RANDOM | ADVICE_SEQUENTIAL, 0]],
  [madv.MADV_RANDOM, [ADVICE_SEQUENTIAL, ADVICE_RANDOM]],
  [madv.MADV_SEQUENTIAL, [ADVICE_RANDOM, ADVICE_SEQUENTIAL]],
  [madv.MADV_DONTFORK, [0, ADVICE_DONT_FORK]],
  [madv.MADV_DOFORK, [ADVICE_DONT_FORK, 0]],
  [madv.MADV_DONTDUMP, [0, ADVICE_DONT_DUMP]],
  [madv.MADV_DODUMP, [ADVICE_DONT_DUMP, 0]],
  [madv.MADV_MERGEABLE, [0, ADVICE_MERGEABLE]],
  [madv.MADV_UNMERGEABLE, [ADVICE_MERGEABLE, 0]],
  [madv.MADV_HUGEPAGE, [ADVICE_NOT_HUGE, ADVICE_HUGE]],
  [madv.MADV_NOHUGEPAGE, [ADVICE_HUGE, ADVICE_NOT_HUGE]],
  [madv.MADV_WIPEONFORK, [0, ADVICE_WIPE]],
  [madv.MADV_KEEPONFORK, [ADVICE_WIPE, 0]],
]);

/** `m` after advice; the same object if it does not last. */
export function advised(m: Mapping, advice: number): Mapping {
  const change = lasting.get(advice);
  return change === undefined ? m : { ...m, advice: (m.advice & ~change[0]) | change[1] };
}

/** The part of `m` in [start, end), with the offset that belongs to it. */
export function clip(m: Mapping, start: number, end: number): Mapping {
  const from = Math.max(m.start, start);
  const to = Math.min(m.end, end);
  if (from === m.start && to === m.end) return m;
  return { ...m, start: from, end: to, offset: m.backing === undefined ? 0 : m.offset + (from - m.start) };
}

export function sameBacking(a: Backing | undefined, b: Backing | undefined): boolean {
  if (a === b) return true;
  return (
    a !== undefined && b !== undefined && a.kind === b.kind && a.id === b.id &&
    a.dev === b.dev && a.inode === b.inode && a.path === b.path && a.writable === b.writable
  );
}

function mergeable(a: Mapping, b: Mapping): boolean {
  return (
    a.end === b.start && a.prot === b.prot && a.shared === b.shared && a.name === b.name &&
    a.growsDown === b.growsDown && a.noReserve === b.noReserve && a.locked === b.locked &&
    a.advice === b.advice && a.sealed === b.sealed && sameBacking(a.backing, b.backing) &&
    (a.backing === undefined || a.offset + (a.end - a.start) === b.offset)
  );
}

/** One change of a list, from which another list can be kept equal. */
export type ListChange = { readonly put: Mapping } | { readonly take: readonly [start: number, end: number] };

export class MappingList {
  readonly #list: Mapping[] = [];
  #bytes = 0;
  /** Told of every change. */
  onChange: ((change: ListChange) => void) | undefined;

  /** Bytes mapped in all. */
  get bytes(): number {
    return this.#bytes;
  }

  get all(): readonly Mapping[] {
    return this.#list;
  }

  /** Index of the first mapping that ends above `addr` (the kernel's find_vma); `length` if none does. */
  indexAbove(addr: number): number {
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#list[middle]!.end > addr) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The mapping that holds `addr`. */
  at(addr: number): Mapping | undefined {
    const m = this.#list[this.indexAbove(addr)];
    return m !== undefined && m.start <= addr ? m : undefined;
  }

  /** First mapping that ends above `addr`. */
  above(addr: number): Mapping | undefined {
    return this.#list[this.indexAbove(addr)];
  }

  /** The mappings that touch [start, end), whole. */
  in(start: number, end: number): Mapping[] {
    const found: Mapping[] = [];
    if (end <= start) return found;
    for (let i = this.indexAbove(start); i < this.#list.length && this.#list[i]!.start < end; i++) found.push(this.#list[i]!);
    return found;
  }

  /** True if every page of [start, end) is mapped. */
  covers(start: number, end: number): boolean {
    let at = start;
    for (let i = this.indexAbove(start); at < end; i++) {
      const m = this.#list[i];
      if (m === undefined || m.start > at) return false;
      at = m.end;
    }
    return true;
  }

  /** Take [start, end) out. */
  remove(start: number, end: number): void {
    if (this.#cut(start, end)) this.onChange?.({ take: [start, end] });
  }

  /** True if there was something. */
  #cut(start: number, end: number): boolean {
    const first = this.indexAbove(start);
    let last = first;
    const rest: Mapping[] = [];
    for (; last < this.#list.length && this.#list[last]!.start < end; last++) {
      const m = this.#list[last]!;
      this.#bytes -= Math.min(m.end, end) - Math.max(m.start, start);
      if (m.start < start) rest.push(clip(m, m.start, start));
      if (m.end > end) rest.push(clip(m, end, m.end));
    }
    if (last > first) this.#list.splice(first, last - first, ...rest);
    return last > first;
  }

  /** Put `m` in, replacing whatever is there, and merge it with its neighbours where it can be. */
  insert(m: Mapping): void {
    this.onChange?.({ put: m });
    this.#cut(m.start, m.end);
    this.#bytes += m.end - m.start;
    const index = this.indexAbove(m.start);
    let { start, end, offset } = m;
    let from = index;
    let count = 0;
    const before = this.#list[index - 1];
    if (before !== undefined && mergeable(before, m)) {
      ({ start, offset } = before);
      from--;
      count++;
    }
    const after = this.#list[index];
    if (after !== undefined && mergeable(m, after)) {
      end = after.end;
      count++;
    }
    this.#list.splice(from, count, count === 0 ? m : { ...m, start, end, offset });
  }

  /** Replace every mapped part of [start, end) by what `change` makes of it. */
  update(start: number, end: number, change: (m: Mapping) => Mapping): void {
    for (const m of this.in(start, end)) this.insert(change(clip(m, start, end)));
  }

  clear(): void {
    if (this.#list.length > 0) this.onChange?.({ take: [0, Number.MAX_SAFE_INTEGER] });
    this.#list.length = 0;
    this.#bytes = 0;
  }

  /** Make a change that another list told of. */
  apply(change: ListChange): void {
    if ('put' in change) this.insert(change.put);
    else this.remove(...change.take);
  }
}

const { PROT_READ, PROT_WRITE, PROT_EXEC } = protFlags.values;

/** The four letters of /proc/self/maps. */
export function permissions(m: Mapping): string {
  return (
    (m.prot & PROT_READ ? 'r' : '-') + (m.prot & PROT_WRITE ? 'w' : '-') + (m.prot & PROT_EXEC ? 'x' : '-') +
    (m.shared ? 's' : 'p')
  );
}

/** The guest never gets executable host pages; what it may execute, the translator must be able to read. */
export function hostProtection(prot: number): number {
  return (prot & (PROT_READ | PROT_WRITE)) | (prot & PROT_EXEC ? PROT_READ : 0);
}

/** Flags of mmap that are the host's to know; placement is settled before, execution is ours. */
export const HOST_MAP_FLAGS =
  ~(mapFlags.values.MAP_FIXED_NOREPLACE | mapFlags.values.MAP_32BIT | mapFlags.values.MAP_GROWSDOWN |
    mapFlags.values.MAP_STACK | mapFlags.values.MAP_EXECUTABLE | mapFlags.values.MAP_DENYWRITE |
    mapFlags.values.MAP_HUGETLB);

export function anonymousMapping(start: number, end: number, prot: number, name: string): Mapping {
  return {
    start, end, prot, shared: false, backing: undefined, offset: 0, name, growsDown: false, noReserve: false,
    locked: false, advice: 0, sealed: false,
  };
}
