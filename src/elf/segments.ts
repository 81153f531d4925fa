/**
 * Program headers. `readSegments` takes any table whose size is sound; `checkLoadable` holds the rules a
 * file must keep to be mapped and run (the kernel's, in load_elf_binary, and that the bytes are there).
 */

import { ET_DYN, ET_EXEC, PT_LOAD } from './constants.ts';
import { ElfError, hex } from './errors.ts';
import type { ElfHeader } from './header.ts';
import { type ByteSource, Fields, readExactly } from './source.ts';

export interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly vaddr: number;
  readonly paddr: number;
  readonly filesz: number;
  readonly memsz: number;
  readonly align: number;
}

/** The kernel's ELF_MIN_ALIGN-sized cap on the table: 64 KiB. */
const MAX_TABLE_BYTES = 65536;

export function readSegments(source: ByteSource, header: ElfHeader): Segment[] {
  const entry = header.is64 ? 56 : 32;
  if (header.phnum === 0) return [];
  if (header.phentsize !== entry)
    throw new ElfError(
      'malformed',
      `program headers are said to be ${header.phentsize} bytes each; they are ${entry}`,
      header.is64 ? 54 : 42,
    );
  const bytes = header.phnum * entry;
  if (bytes > MAX_TABLE_BYTES)
    throw new ElfError(
      'too-large',
      `${header.phnum} program headers; at most ${Math.floor(MAX_TABLE_BYTES / entry)} are possible`,
      header.is64 ? 56 : 44,
    );
  const f = new Fields(readExactly(source, header.phoff, bytes, 'the program header table'), header);
  const segments: Segment[] = [];
  for (let at = 0; at < bytes; at += entry) segments.push(header.is64 ? segment64(f, at) : segment32(f, at));
  return segments;
}

function segment64(f: Fields, at: number): Segment {
  return {
    type: f.u32(at),
    flags: f.u32(at + 4),
    offset: f.u64(at + 8),
    vaddr: f.u64(at + 16),
    paddr: f.u64(at + 24),
    filesz: f.u64(at + 32),
    memsz: f.u64(at + 40),
    align: f.u64(at + 48),
  };
}

function segment32(f: Fields, at: number): Segment {
  return {
    type: f.u32(at),
    offset: f.u32(at + 4),
    vaddr: f.u32(at + 8),
    paddr: f.u32(at + 12),
    filesz: f.u32(at + 16),
    memsz: f.u32(at + 20),
    flags: f.u32(at + 24),
    align: f.u32(at + 28),
  };
}

/**
 * Throws if the file cannot be mapped as it asks to be. Segments may overlap, be out of order and be
 * oddly aligned: the kernel maps those, later ones over earlier ones.
 */
export function checkLoadable(
  source: ByteSource,
  header: ElfHeader,
  segments: readonly Segment[],
  limits: { pageSize: number; addressLimit: number },
): void {
  if (header.type !== ET_EXEC && header.type !== ET_DYN)
    throw new ElfError('wrong-type', 'it is neither an executable nor a shared object', 16);
  if (header.phnum === 0) throw new ElfError('malformed', 'it has no program headers, so nothing to load');
  let any = false;
  segments.forEach((segment, index) => {
    if (segment.type !== PT_LOAD) return;
    any = true;
    const where = `segment ${index}`;
    const fault = (message: string, code: 'malformed' | 'truncated' | 'too-large' = 'malformed'): never => {
      throw new ElfError(code, `${where} ${message}`, header.phoff + index * header.phentsize);
    };
    const { offset, vaddr, filesz, memsz } = segment;
    if (filesz > memsz) fault(`has ${hex(filesz)} bytes in the file but only ${hex(memsz)} in memory`);
    if (vaddr + memsz > limits.addressLimit)
      fault(
        `needs memory up to ${hex(vaddr + memsz)}; the guest's address space ends at ${hex(limits.addressLimit)}`,
        'too-large',
      );
    if (filesz === 0) return;
    if (vaddr % limits.pageSize !== offset % limits.pageSize)
      fault(`cannot be mapped: address ${hex(vaddr)} and file offset ${hex(offset)} differ within the page`);
    if (!Number.isSafeInteger(offset + filesz)) fault(`lies at the impossible file offset ${hex(offset)}`);
    // The tail of the file's last page reads as zeros, as natively; a page wholly past the end would be SIGBUS.
    const mappable = source.size === undefined ? undefined : Math.ceil(source.size / limits.pageSize) * limits.pageSize;
    if (mappable !== undefined && offset + filesz > mappable)
      fault(`is cut off: it needs the file up to byte ${offset + filesz}, the file has ${source.size}`, 'truncated');
  });
  if (!any) throw new ElfError('malformed', 'it has no PT_LOAD segment, so nothing to load');
}

/** File offset of the byte that `vaddr` maps, or undefined if no segment has it in the file. */
export function fileOffset(segments: readonly Segment[], vaddr: number): number | undefined {
  for (const s of segments)
    if (s.type === PT_LOAD && vaddr >= s.vaddr && vaddr < s.vaddr + s.filesz) return s.offset + (vaddr - s.vaddr);
  return undefined;
}
