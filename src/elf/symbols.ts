/**
 * Symbol tables, for naming addresses: `.symtab` and `.dynsym` by the section headers, or, where those are
 * stripped, the dynamic symbols by PT_DYNAMIC alone. Only addresses, sizes and name offsets are held;
 * names are read when asked for.
 */

import * as c from './constants.ts';
import { type DynamicEntry, dynamicValue } from './dynamic.ts';
import { ElfError } from './errors.ts';
import type { ElfHeader } from './header.ts';
import { fileOffset, type Segment } from './segments.ts';
import { type ByteSource, cString, Fields, readExactly } from './source.ts';

export interface Located {
  readonly name: string;
  /** Link-time address of the symbol. */
  readonly start: number;
  /** 0 where the file does not say. */
  readonly size: number;
  /** Distance of the address asked about from `start`. */
  readonly offset: number;
  /** Whether the address lies within [start, start + size), or the size is unknown. */
  readonly inside: boolean;
}

/** One symbol section as it lies in the file. */
interface TableLocation {
  readonly offset: number;
  readonly count: number;
  readonly strings: number;
  readonly stringsSize: number;
}

const MAX_SYMBOLS = 1 << 24;
const CHUNK = 4096;
const MAX_NAME = 4096;
/** How far back an enclosing symbol is looked for when the nearest one ends before the address. */
const MAX_BACKTRACK = 64;

export class SymbolTable {
  readonly #source: ByteSource;
  /** Sorted by address; parallel arrays. */
  readonly #start: Float64Array;
  readonly #size: Float64Array;
  readonly #name: Float64Array;
  readonly #nameLimit: Float64Array;

  constructor(source: ByteSource, header: ElfHeader, segments: readonly Segment[], dynamic: readonly DynamicEntry[]) {
    this.#source = source;
    const found = new Collector();
    for (const table of locateTables(source, header, segments, dynamic)) found.read(source, header, table);
    const order = found.order();
    this.#start = pick(found.start, order);
    this.#size = pick(found.size, order);
    this.#name = pick(found.name, order);
    this.#nameLimit = pick(found.nameLimit, order);
  }

  get length(): number {
    return this.#start.length;
  }

  /** The symbol at or before link-time address `addr`: one that contains it if there is one. */
  symbolize(addr: number): Located | undefined {
    let low = 0;
    let high = this.#start.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#start[middle] as number) <= addr) low = middle + 1;
      else high = middle;
    }
    const nearest = low - 1;
    if (nearest < 0) return undefined;
    for (let i = nearest; i >= 0 && i > nearest - MAX_BACKTRACK; i--) {
      const size = this.#size[i] as number;
      const offset = addr - (this.#start[i] as number);
      if (offset < size || (size === 0 && i === nearest)) return this.#locate(i, addr, true);
    }
    return this.#locate(nearest, addr, false);
  }

  /** Link-time address of the symbol called `name`; a linear search that reads every name. */
  lookup(name: string): Located | undefined {
    for (let i = 0; i < this.#start.length; i++) {
      const found = this.#locate(i, this.#start[i] as number, true);
      if (found.name === name) return found;
    }
    return undefined;
  }

  #locate(i: number, addr: number, inside: boolean): Located {
    const start = this.#start[i] as number;
    const at = this.#name[i] as number;
    const limit = Math.min(MAX_NAME, (this.#nameLimit[i] as number) - at);
    // Names are short: a first small read serves nearly all.
    let bytes = this.#source.read(at, Math.min(limit, 128));
    if (bytes.indexOf(0) < 0 && bytes.length < limit) bytes = this.#source.read(at, limit);
    return { name: cString(bytes), start, size: this.#size[i] as number, offset: addr - start, inside };
  }
}

function pick(values: readonly number[], order: Uint32Array): Float64Array {
  const result = new Float64Array(order.length);
  for (let i = 0; i < order.length; i++) result[i] = values[order[i] as number] as number;
  return result;
}

class Collector {
  readonly start: number[] = [];
  readonly size: number[] = [];
  readonly name: number[] = [];
  readonly nameLimit: number[] = [];
  /** Higher is the better name for an address that has several. */
  readonly #rank: number[] = [];

  read(source: ByteSource, header: ElfHeader, table: TableLocation): void {
    const entry = header.is64 ? 24 : 16;
    for (let first = 0; first < table.count; first += CHUNK) {
      const count = Math.min(CHUNK, table.count - first);
      const f = new Fields(readExactly(source, table.offset + first * entry, count * entry, 'a symbol table'), header);
      for (let i = 0; i < count; i++) this.#add(f, i * entry, table);
    }
  }

  #add(f: Fields, at: number, table: TableLocation): void {
    const name = f.u32(at);
    const info = f.u8(at + (f.is64 ? 4 : 12));
    const section = f.u16(at + (f.is64 ? 6 : 14));
    const value = f.word(at + (f.is64 ? 8 : 4));
    const size = f.word(at + (f.is64 ? 16 : 8));
    const type = info & 15;
    const binding = info >> 4;
    if (section === c.SHN_UNDEF || section === c.SHN_ABS || name === 0 || name >= table.stringsSize) return;
    const kind =
      type === c.STT_FUNC || type === c.STT_GNU_IFUNC ? 8 : type === c.STT_OBJECT ? 4 : type === c.STT_NOTYPE ? 0 : -1;
    if (kind < 0) return;
    this.start.push(value);
    this.size.push(size);
    this.name.push(table.strings + name);
    this.nameLimit.push(table.strings + table.stringsSize);
    this.#rank.push(kind + (size > 0 ? 16 : 0) + (binding === c.STB_GLOBAL ? 2 : binding === c.STB_WEAK ? 1 : 0));
  }

  /** Indices by address, one for each address: the best-ranked. */
  order(): Uint32Array {
    const order = Uint32Array.from(this.start, (_, i) => i);
    order.sort((a, b) => {
      const byAddress = (this.start[a] as number) - (this.start[b] as number);
      return byAddress !== 0 ? byAddress : (this.#rank[b] as number) - (this.#rank[a] as number) || a - b;
    });
    let kept = 0;
    for (let i = 0; i < order.length; i++) {
      const index = order[i] as number;
      if (kept > 0 && this.start[order[kept - 1] as number] === this.start[index]) continue;
      order[kept++] = index;
    }
    return order.slice(0, kept);
  }
}

function locateTables(
  source: ByteSource,
  header: ElfHeader,
  segments: readonly Segment[],
  dynamic: readonly DynamicEntry[],
): TableLocation[] {
  // Section headers are not needed to run a program, so damaged ones are as good as none.
  let bySections: TableLocation[] = [];
  try {
    bySections = tablesBySections(source, header);
  } catch (error) {
    if (!(error instanceof ElfError)) throw error;
  }
  if (bySections.length > 0) return bySections;
  const table = tableByDynamic(source, header, segments, dynamic);
  return table === undefined ? [] : [table];
}

function tablesBySections(source: ByteSource, header: ElfHeader): TableLocation[] {
  const entry = header.is64 ? 64 : 40;
  if (header.shoff === 0 || header.shentsize !== entry) return [];
  const w = header.is64 ? 8 : 4;
  // Section fields after name (u32) and type (u32): flags, addr, offset, size (words), link (u32), info, align, entsize.
  let count = header.shnum;
  if (count === 0) {
    // 65,280 sections and more: the count is in the size field of section 0.
    const zero = new Fields(readExactly(source, header.shoff, entry, 'section header 0'), header);
    count = zero.word(8 + 3 * w);
  }
  if (count * entry > MAX_SYMBOLS) throw new ElfError('too-large', `${count} section headers`, header.shoff);
  const f = new Fields(readExactly(source, header.shoff, count * entry, 'the section header table'), header);
  const symbolSize = header.is64 ? 24 : 16;
  const tables: TableLocation[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * entry;
    const type = f.u32(at + 4);
    if (type !== c.SHT_SYMTAB && type !== c.SHT_DYNSYM) continue;
    const link = f.u32(at + 8 + 4 * w);
    if (link >= count) continue;
    const strings = link * entry;
    const table = {
      offset: f.word(at + 8 + 2 * w),
      count: Math.floor(f.word(at + 8 + 3 * w) / symbolSize),
      strings: f.word(strings + 8 + 2 * w),
      stringsSize: f.word(strings + 8 + 3 * w),
    };
    if (isSane(source, table, symbolSize)) tables.push(table);
  }
  return tables;
}

function tableByDynamic(
  source: ByteSource,
  header: ElfHeader,
  segments: readonly Segment[],
  dynamic: readonly DynamicEntry[],
): TableLocation | undefined {
  const at = (tag: number): number | undefined => {
    const address = dynamicValue(dynamic, tag);
    return address === undefined ? undefined : fileOffset(segments, address);
  };
  const offset = at(c.DT_SYMTAB);
  const strings = at(c.DT_STRTAB);
  const stringsSize = dynamicValue(dynamic, c.DT_STRSZ);
  if (offset === undefined || strings === undefined || stringsSize === undefined) return undefined;
  try {
    const count = symbolCount(source, header, at(c.DT_HASH), at(c.DT_GNU_HASH));
    const table = { offset, count, strings, stringsSize };
    return isSane(source, table, header.is64 ? 24 : 16) ? table : undefined;
  } catch (error) {
    if (error instanceof ElfError) return undefined;
    throw error;
  }
}

/** Nothing in PT_DYNAMIC says how many symbols there are; the hash tables do. */
function symbolCount(
  source: ByteSource,
  header: ElfHeader,
  hash: number | undefined,
  gnuHash: number | undefined,
): number {
  if (hash !== undefined) return new Fields(readExactly(source, hash, 8, 'the symbol hash table'), header).u32(4);
  if (gnuHash === undefined) return 0;
  const head = new Fields(readExactly(source, gnuHash, 16, 'the GNU hash table'), header);
  const buckets = head.u32(0);
  const firstHashed = head.u32(4);
  const bloomWords = head.u32(8);
  if (buckets > MAX_SYMBOLS) throw new ElfError('too-large', `${buckets} hash buckets`, gnuHash);
  const bucketsAt = gnuHash + 16 + bloomWords * (header.is64 ? 8 : 4);
  const f = new Fields(readExactly(source, bucketsAt, buckets * 4, 'the GNU hash table'), header);
  let last = 0;
  for (let i = 0; i < buckets; i++) last = Math.max(last, f.u32(i * 4));
  if (last < firstHashed) return firstHashed;
  // The chain of the last bucket ends at the value with bit 0 set: that is the last symbol.
  const chainsAt = bucketsAt + buckets * 4;
  for (let index = last; index < MAX_SYMBOLS; index += CHUNK) {
    const bytes = source.read(chainsAt + (index - firstHashed) * 4, CHUNK * 4);
    if (bytes.length < 4) break;
    const chain = new Fields(bytes, header);
    for (let i = 0; i + 4 <= bytes.length; i += 4) if (chain.u32(i) & 1) return index + i / 4 + 1;
  }
  throw new ElfError('malformed', 'the GNU hash table has no end', chainsAt);
}

function isSane(source: ByteSource, table: TableLocation, entry: number): boolean {
  if (table.count > MAX_SYMBOLS) return false;
  const end = Math.max(table.offset + table.count * entry, table.strings + table.stringsSize);
  return Number.isSafeInteger(end) && (source.size === undefined || end <= source.size);
}
