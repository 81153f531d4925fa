/**
 * A pack: baseline translations of one mapped file, as kept on disk: one or more segments, each what one run added, linked
 * to a module of its own. A run reads the indices of all segments and the modules of those it needs: programs that
 * share a library do not pay for each other.
 *
 * What a segment was made from is in it twice over: the key (engine, file, address, mode) and a checksum of every page of
 * guest code, which is compared with guest memory before any of it runs. Checksums over index and module find damage.
 *
 * Layout of a segment (little-endian): magic, u32 crc32 and length of the index, of the module; index: u32 counts,
 * Float64Arrays, Uint32Arrays, JSON text; the module. Index and module are filled up to multiples of 8. Regions are sorted by
 * pc; the table slots they use are base + position, their targets' after them.
 */
import { crc32 } from 'node:zlib';
import type { RegionObject } from './object.ts';
import { RELOC } from './object.ts';

const MAGIC = 'LGPACK05';
/** Bytes before the index. */
export const HEADER = 24;

export interface PackText {
  readonly key: string;
  readonly names: readonly string[];
}

/** The arrays of a pack, in file order. */
interface Arrays {
  /** Guest pc of each region; of each target of a direct jump or call that is no region of the pack. */
  readonly pcs: Float64Array;
  readonly targets: Float64Array;
  /** A region that calls each named helper: building it again finds the helper. */
  readonly witnesses: Float64Array;
  readonly relocValues: Float64Array;
  readonly pages: Uint32Array;
  readonly pageSums: Uint32Array;
  /** By region: place of its code in the module, its length, where instructions begin in it, how many guest instructions. */
  readonly codeAt: Uint32Array;
  readonly codeLength: Uint32Array;
  readonly codeStart: Uint32Array;
  readonly instructions: Uint32Array;
  /** By region, and one more: first index in `regionPages` (indices in `pages`), in the relocations. */
  readonly pageFirst: Uint32Array;
  readonly regionPages: Uint32Array;
  readonly relocFirst: Uint32Array;
  readonly relocOffsets: Uint32Array;
  readonly relocKinds: Uint32Array;
}
const FLOATS = ['pcs', 'targets', 'witnesses', 'relocValues'] as const;
const WORDS = [
  'pages',
  'pageSums',
  'codeAt',
  'codeLength',
  'codeStart',
  'instructions',
  'pageFirst',
  'regionPages',
  'relocFirst',
  'relocOffsets',
  'relocKinds',
] as const;

export interface PackIndex extends Arrays, PackText {}
export interface Pack extends PackIndex {
  readonly module: Uint8Array<ArrayBuffer>;
}

/** Where the parts of a segment are, from its beginning. */
export interface Segment {
  readonly indexLength: number;
  readonly indexSum: number;
  readonly moduleAt: number;
  readonly moduleLength: number;
  readonly moduleSum: number;
  readonly end: number;
}

const whole = (n: number): number => (n + 7) & ~7;

export function encodePack(pack: Pack): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(JSON.stringify({ key: pack.key, names: pack.names } satisfies PackText));
  const counts = [...FLOATS, ...WORDS].map((name) => pack[name].length);
  counts.push(text.length);
  let size = HEADER + whole(4 * counts.length);
  const starts: number[] = [];
  for (const name of FLOATS) {
    starts.push(size);
    size += 8 * pack[name].length;
  }
  for (const name of WORDS) {
    starts.push(size);
    size += 4 * pack[name].length;
  }
  const textAt = size;
  const moduleAt = whole(textAt + text.length);
  const bytes = new Uint8Array(moduleAt + whole(pack.module.length));
  const view = new DataView(bytes.buffer);
  counts.forEach((n, k) => view.setUint32(HEADER + 4 * k, n, true));
  [...FLOATS, ...WORDS].forEach((name, k) => {
    const a = pack[name];
    bytes.set(new Uint8Array(a.buffer, a.byteOffset, a.byteLength), starts[k] as number);
  });
  bytes.set(text, textAt);
  bytes.set(pack.module, moduleAt);
  bytes.set(Buffer.from(MAGIC), 0);
  view.setUint32(8, crc32(bytes.subarray(HEADER, moduleAt)), true);
  view.setUint32(12, moduleAt - HEADER, true);
  view.setUint32(16, crc32(pack.module), true);
  view.setUint32(20, pack.module.length, true);
  return bytes;
}

/** What the first bytes of a segment say; undefined if there is none. */
export function decodeHeader(bytes: Uint8Array): Segment | undefined {
  if (bytes.length < HEADER || Buffer.from(bytes.subarray(0, 8)).toString('latin1') !== MAGIC) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER);
  const indexLength = view.getUint32(12, true);
  const moduleLength = view.getUint32(20, true);
  const moduleAt = HEADER + indexLength;
  const sums = { indexSum: view.getUint32(8, true), moduleSum: view.getUint32(16, true) };
  return { indexLength, moduleAt, moduleLength, ...sums, end: moduleAt + whole(moduleLength) };
}

/** The index in `bytes` (at a multiple of 8 in its buffer) if it is whole and has this key. */
export function decodeIndex(bytes: Uint8Array<ArrayBuffer>, segment: Segment, key: string): PackIndex | undefined {
  if (bytes.length !== segment.indexLength || crc32(bytes) !== segment.indexSum) return undefined;
  // Whole, so what was written is there; no further checks are needed.
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const n = FLOATS.length + WORDS.length + 1;
  const count = (k: number): number => view.getUint32(4 * k, true);
  let at = bytes.byteOffset + whole(4 * n);
  const arrays: Record<string, Float64Array | Uint32Array> = {};
  FLOATS.forEach((name, k) => {
    arrays[name] = new Float64Array(bytes.buffer, at, count(k));
    at += 8 * count(k);
  });
  WORDS.forEach((name, k) => {
    const c = count(FLOATS.length + k);
    arrays[name] = new Uint32Array(bytes.buffer, at, c);
    at += 4 * c;
  });
  const text = JSON.parse(Buffer.from(bytes.buffer, at, count(n - 1)).toString()) as PackText;
  return text.key === key ? { ...(arrays as unknown as Arrays), ...text } : undefined;
}

/** The objects a pack was linked from. */
export function packObjects(pack: Pack): RegionObject[] {
  return Array.from(pack.pcs, (_, k) => packObject(pack, k));
}

/** The one of region `k`. */
export function packObject(pack: Pack, k: number): RegionObject {
  const code = pack.module.subarray(pack.codeAt[k], (pack.codeAt[k] as number) + (pack.codeLength[k] as number));
  const names: string[] = [];
  const relocs: number[] = [];
  for (let r = pack.relocFirst[k] as number; r < (pack.relocFirst[k + 1] as number); r++) {
    const kind = pack.relocKinds[r] as number;
    let value = pack.relocValues[r] as number;
    if (kind === RELOC.helper) {
      const name = pack.names[value] as string;
      value = names.indexOf(name);
      if (value < 0) value = names.push(name) - 1;
    }
    relocs.push(pack.relocOffsets[r] as number, kind, value);
  }
  return {
    pc: pack.pcs[k] as number,
    pages: Array.from(
      pack.regionPages.subarray(pack.pageFirst[k], pack.pageFirst[k + 1]),
      (p) => pack.pages[p] as number,
    ),
    instructions: pack.instructions[k] as number,
    code,
    codeStart: pack.codeStart[k] as number,
    relocs,
    names,
  };
}

/** Name of a region's function in stack traces: its pc is all one needs to find it. */
export const packFunctionName = (pc: number): string => `p${pc.toString(16)}`;

/** Index of `x` in the ascending `a`, or −1. */
export function search(a: Float64Array, x: number): number {
  let low = 0;
  let high = a.length - 1;
  while (low <= high) {
    const mid = (low + high) >> 1;
    const y = a[mid] as number;
    if (y === x) return mid;
    if (y < x) low = mid + 1;
    else high = mid - 1;
  }
  return -1;
}
