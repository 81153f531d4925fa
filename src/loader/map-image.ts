/**
 * Mapping one ELF image, as elf_load() and its callers in the kernel do: file pages, the zeroed rest of the last
 * one, anonymous pages for the remainder; later segments over earlier ones.
 */

import { ET_DYN, PF_R, PF_W, PF_X, PT_LOAD } from '../elf/constants.ts';
import type { ElfHeader } from '../elf/header.ts';
import type { Segment } from '../elf/segments.ts';
import { GuestFault } from '../kernel/ports.ts';
import { display, ExecError, errnoSentence } from './exec-error.ts';
import type { ElfImage } from './prepare.ts';
import type { LoadTarget } from './types.ts';

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MAP_STACK = 0x20000;

export interface MappedImage {
  /** Added to a link-time address to get the run-time one. */
  readonly bias: number;
  readonly entry: number;
  /** Run-time bounds of what was mapped, page-aligned. */
  readonly start: number;
  readonly end: number;
  /** Highest end of memory (unaligned): the heap begins after it. */
  readonly brk: number;
  readonly startCode: number;
  readonly endCode: number;
  readonly startData: number;
  readonly endData: number;
}

export function loadSegments(segments: readonly Segment[]): Segment[] {
  return segments.filter((s) => s.type === PT_LOAD);
}

/** Largest power-of-two p_align of the image; at least a page. */
export function imageAlignment(segments: readonly Segment[], page: number): number {
  let alignment = page;
  for (const { align } of loadSegments(segments))
    if (align > alignment && Number.isInteger(Math.log2(align))) alignment = align;
  return alignment;
}

/** Page-aligned link-time bounds of all that will be mapped. */
export function imageBounds(segments: readonly Segment[], page: number): { start: number; end: number } {
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const s of loadSegments(segments)) {
    start = Math.min(start, down(s.vaddr, page));
    end = Math.max(end, up(s.vaddr + s.memsz, page));
  }
  return { start, end };
}

/**
 * Maps `image`. A relocatable one goes to `base` (rounded down to its alignment), or, without a base, wherever
 * the mmap area has room. Throws a fatal ExecError when the memory cannot be had.
 */
export function mapImage(target: LoadTarget, image: ElfImage, page: number, base: number | undefined): MappedImage {
  const { segments, header } = image.elf;
  const bias = header.type === ET_DYN ? placeImage(target, image, page, base) : 0;
  const loads = loadSegments(segments);
  for (const segment of loads) mapSegment(target, image, segment, bias, page);
  return describe(header, loads, bias, page);
}

function placeImage(target: LoadTarget, image: ElfImage, page: number, base: number | undefined): number {
  const { segments } = image.elf;
  const { start, end } = imageBounds(segments, page);
  const alignment = imageAlignment(segments, page);
  if (base !== undefined) {
    const at = down(base, alignment);
    return at - down(start, alignment);
  }
  // Room is found by mapping it: with the slack that alignment may need, given back at both ends.
  const size = end - start;
  const slack = alignment > page ? alignment : 0;
  const found = target.space.mmap(0, size + slack, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (found < 0) fail(image, found, `${size} bytes of memory for it cannot be had`);
  const skew = start % alignment;
  const at = slack === 0 ? found : up(found - skew, alignment) + skew;
  if (at > found) target.space.munmap(found, at - found);
  if (at + size < found + size + slack) target.space.munmap(at + size, found + slack - at);
  return at - start;
}

function mapSegment(target: LoadTarget, image: ElfImage, segment: Segment, bias: number, page: number): void {
  const { offset, filesz, memsz } = segment;
  const vaddr = segment.vaddr + bias;
  const inPage = vaddr % page;
  const prot = protection(segment);
  let zeroFrom = vaddr - inPage;
  if (filesz > 0) {
    check(
      image,
      target.space.mmap(
        vaddr - inPage,
        up(filesz + inPage, page),
        prot,
        MAP_PRIVATE | MAP_FIXED,
        image.file.fd,
        offset - inPage,
      ),
    );
    zeroFrom = vaddr + filesz;
    if (memsz > filesz) zeroTail(target, image, zeroFrom, up(zeroFrom, page), prot);
  }
  const from = up(zeroFrom, page);
  const to = up(vaddr + memsz, page);
  // What has no bytes in the file is always writable, executable if the segment is (vm_brk_flags).
  if (memsz > filesz && to > from)
    check(
      image,
      target.space.mmap(
        from,
        to - from,
        PROT_READ | PROT_WRITE | (prot & PROT_EXEC),
        MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS,
        -1,
        0,
      ),
    );
}

/** Clears what the file holds behind the segment in its last page. A read-only segment keeps it, as natively. */
function zeroTail(target: LoadTarget, image: ElfImage, from: number, to: number, prot: number): void {
  if (to === from || (prot & PROT_WRITE) === 0) return;
  try {
    target.memory.write(from, new Uint8Array(to - from));
  } catch (error) {
    // Past the end of the file (a header that promises bytes it has not): the kernel fails the same way.
    if (error instanceof GuestFault) fail(image, -14, 'its data segment lies beyond the end of the file');
    throw error;
  }
}

function protection(segment: Segment): number {
  const { flags } = segment;
  return (
    ((flags & PF_R) !== 0 ? PROT_READ : 0) |
    ((flags & PF_W) !== 0 ? PROT_WRITE : 0) |
    ((flags & PF_X) !== 0 ? PROT_EXEC : 0)
  );
}

function describe(header: ElfHeader, loads: readonly Segment[], bias: number, page: number): MappedImage {
  const { start, end } = imageBounds(loads, page);
  let brk = 0;
  let startCode = Number.POSITIVE_INFINITY;
  let endCode = 0;
  let startData = 0;
  let endData = 0;
  for (const s of loads) {
    if ((s.flags & PF_X) !== 0) startCode = Math.min(startCode, s.vaddr);
    startData = Math.max(startData, s.vaddr);
    if ((s.flags & PF_X) !== 0) endCode = Math.max(endCode, s.vaddr + s.filesz);
    endData = Math.max(endData, s.vaddr + s.filesz);
    brk = Math.max(brk, s.vaddr + s.memsz);
  }
  return {
    bias,
    entry: header.entry + bias,
    start: start + bias,
    end: end + bias,
    brk: brk + bias,
    startCode: startCode === Number.POSITIVE_INFINITY ? 0 : startCode + bias,
    endCode: endCode === 0 ? 0 : endCode + bias,
    startData: startData + bias,
    endData: endData + bias,
  };
}

function check(image: ElfImage, result: number): void {
  if (result < 0) fail(image, result, 'its segments cannot be mapped');
}

function fail(image: ElfImage, result: number, what: string): never {
  throw new ExecError(-result, display(image.file.path), `${what}: ${errnoSentence(-result)}`, true);
}

export function down(value: number, unit: number): number {
  return value - (value % unit);
}

export function up(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
