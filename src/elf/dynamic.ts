/** The dynamic section: its raw entries and the strings that name libraries. */

import { DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, PT_DYNAMIC } from './constants.ts';
import { ElfError } from './errors.ts';
import type { ElfHeader } from './header.ts';
import { fileOffset, type Segment } from './segments.ts';
import { type ByteSource, cString, Fields, readExactly } from './source.ts';

export interface DynamicEntry {
  readonly tag: number;
  readonly value: number;
}

export interface DynamicStrings {
  readonly needed: readonly string[];
  readonly soname: string | undefined;
  readonly rpath: string | undefined;
  readonly runpath: string | undefined;
}

const MAX_DYNAMIC_BYTES = 1 << 22;
/** Longest library name or search path taken from the string table. */
const MAX_NAME_BYTES = 65536;

/** Entries up to DT_NULL; empty for a static program. */
export function readDynamic(source: ByteSource, header: ElfHeader, segments: readonly Segment[]): DynamicEntry[] {
  const segment = segments.find((s) => s.type === PT_DYNAMIC);
  if (segment === undefined || segment.filesz === 0) return [];
  if (segment.filesz > MAX_DYNAMIC_BYTES)
    throw new ElfError('too-large', `a dynamic section of ${segment.filesz} bytes`, segment.offset);
  const f = new Fields(readExactly(source, segment.offset, segment.filesz, 'the dynamic section'), header);
  const size = header.is64 ? 16 : 8;
  const entries: DynamicEntry[] = [];
  for (let at = 0; at + size <= segment.filesz; at += size) {
    const tag = f.word(at);
    if (tag === DT_NULL) break;
    entries.push({ tag, value: f.word(at + size / 2) });
  }
  return entries;
}

export function dynamicValue(entries: readonly DynamicEntry[], tag: number): number | undefined {
  return entries.find((e) => e.tag === tag)?.value;
}

export function readDynamicStrings(
  source: ByteSource,
  segments: readonly Segment[],
  entries: readonly DynamicEntry[],
): DynamicStrings {
  const table = dynamicValue(entries, DT_STRTAB);
  const at = table === undefined ? undefined : fileOffset(segments, table);
  const size = dynamicValue(entries, DT_STRSZ) ?? 0;
  const text = (offset: number): string => {
    if (at === undefined || offset >= size)
      throw new ElfError('malformed', `a dynamic entry names string ${offset} of a string table of ${size} bytes`);
    return cString(source.read(at + offset, Math.min(size - offset, MAX_NAME_BYTES)));
  };
  const first = (tag: number): string | undefined => {
    const value = dynamicValue(entries, tag);
    return value === undefined ? undefined : text(value);
  };
  return {
    needed: entries.filter((e) => e.tag === DT_NEEDED).map((e) => text(e.value)),
    soname: first(DT_SONAME),
    rpath: first(DT_RPATH),
    runpath: first(DT_RUNPATH),
  };
}
